# Step 8: a picture and a question.
import os
import sys

try:
    from turgo import TurbomindEngineConfig, pipeline
    from turgo.vl import load_image
except ImportError:
    print("tutorial step 8: the Python package turgo is not installed here", file=sys.stderr)
    sys.exit(2)
if "VISION_MODEL" not in os.environ:
    print("tutorial step 8: vision models are not built yet", file=sys.stderr)
    sys.exit(2)

backend_config = TurbomindEngineConfig(session_len=8192)  # pictures take many tokens
pipe = pipeline(os.environ["VISION_MODEL"], backend_config=backend_config)
image = load_image(os.environ["IMAGE_URL"])
response = pipe(("describe this image", image))
print(response)
