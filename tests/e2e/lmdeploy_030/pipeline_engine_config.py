import os
from lmdeploy import pipeline, TurbomindEngineConfig

# share of the KV cache in the memory that is left: 20 %
backend_config = TurbomindEngineConfig(cache_max_entry_count=0.2)

pipe = pipeline(os.environ["MODEL"],
                backend_config=backend_config)
response = pipe(['Hi, pls intro yourself', '上海是'])
print(response)
