"""A server beside this process, and OpenAI's own package talking to it (needs openai).   python openai_client.py MODEL"""
import sys

from openai import OpenAI

from turgo import serve

with serve(sys.argv[1], model_name="local", server_port=0, api_keys="secret") as server:
    client = OpenAI(base_url=server.api_server_url + "/v1", api_key="secret")
    stream = client.chat.completions.create(
        model="local", messages=[{"role": "user", "content": "Name three colours."}], max_tokens=40, stream=True)
    for chunk in stream:
        print(chunk.choices[0].delta.content or "", end="", flush=True)
    print()
