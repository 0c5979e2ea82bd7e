# Step 9: a web app around the vision pipeline.
import os
import sys

try:
    import gradio
    from turgo import TurbomindEngineConfig, pipeline
except ImportError as error:
    print(f"tutorial step 9: {error.name} is not installed here", file=sys.stderr)
    sys.exit(2)
if "VISION_MODEL" not in os.environ:
    print("tutorial step 9: vision models are not built yet", file=sys.stderr)
    sys.exit(2)

pipe = pipeline(os.environ["VISION_MODEL"], backend_config=TurbomindEngineConfig(session_len=8192))


def model(image, text):
    if image is None:
        return [(text, "请上传一张图片。")]
    return [(text, pipe((text, image)).text)]


demo = gradio.Interface(fn=model, inputs=[gradio.Image(type="pil"), gradio.Textbox()], outputs=gradio.Chatbot())
demo.launch()
