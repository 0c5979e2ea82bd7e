# Step 6: the Python pipeline with a batch of prompts.
import os
import sys

try:
    from turgo import pipeline
except ImportError:
    print("tutorial step 6: the Python package turgo is not installed here", file=sys.stderr)
    sys.exit(2)

pipe = pipeline(os.environ["MODEL"])
response = pipe(["Hi, pls intro yourself", "上海是"])
print(response)
