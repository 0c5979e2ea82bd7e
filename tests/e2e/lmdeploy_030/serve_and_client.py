import os
from lmdeploy import client, serve

serve(os.environ["MODEL"], server_name='0.0.0.0', server_port=23337)
api = client('http://0.0.0.0:23337')
model_name = api.available_models[0]
for item in api.chat_completions_v1(model=model_name, messages=[{'role': 'user', 'content': 'hi'}], max_tokens=32):
    print(item['choices'][0]['message']['content'])
