# Step 7: the same with engine options.
import os
import sys

try:
    from turgo import TurbomindEngineConfig, pipeline
except ImportError:
    print("tutorial step 7: the Python package turgo is not installed here", file=sys.stderr)
    sys.exit(2)

backend_config = TurbomindEngineConfig(cache_max_entry_count=0.2)
pipe = pipeline(os.environ["MODEL"], backend_config=backend_config)
response = pipe(["Hi, pls intro yourself", "上海是"])
print(response)
