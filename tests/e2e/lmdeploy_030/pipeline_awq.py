import os
from lmdeploy import pipeline, TurbomindEngineConfig

backend_config = TurbomindEngineConfig(model_format='awq', quant_policy=8)
pipe = pipeline(os.environ["MODEL"], backend_config=backend_config)
response = pipe(['Hi, pls intro yourself', '上海是'])
print(response)
