"""A web page around a pipeline in ten lines (needs gradio).   python gradio_interface.py MODEL [PORT]"""
import sys
from collections.abc import Iterator

import gradio

from turgo import pipeline

pipe = pipeline(sys.argv[1])


def answer(question: str, max_new_tokens: float) -> Iterator[str]:
    text = ""
    for piece in pipe.stream_infer(question, max_new_tokens=int(max_new_tokens)):
        text += piece.text
        yield text


demo = gradio.Interface(answer, [gradio.Textbox(label="Question"), gradio.Slider(1, 512, 128, step=1, label="Tokens")],
                        gradio.Textbox(label="Answer"), title="Turgo", flagging_mode="never")
demo.launch(server_port=int(sys.argv[2]) if len(sys.argv) > 2 else 7860)
