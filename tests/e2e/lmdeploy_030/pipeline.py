import os
from lmdeploy import pipeline

pipe = pipeline(os.environ["MODEL"])
response = pipe(['Hi, pls intro yourself', '上海是'])
print(response)
