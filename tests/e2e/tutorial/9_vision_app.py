# Step 9: a web app around the vision pipeline.
import os
import sys

try:
    import gradio
    from turgo import TurbomindEngineConfig, pipeline
except ImportError as error:
    print(f"tutorial step 9: {error.name} is missing; the Python package turgo is not built yet", file=sys.stderr)
    sys.exit(2)

pipe = pipeline(os.environ["VISION_MODEL"], backend_config=TurbomindEngineConfig(session_len=8192))


def model(image, text):
    if image is None:
        return [(text, "请上传一张图片。")]
    return [(text, pipe((text, image)).text)]


demo = gradio.Interface(fn=model, inputs=[gradio.Image(type="pil"), gradio.Textbox()], outputs=gradio.Chatbot())
demo.launch()
