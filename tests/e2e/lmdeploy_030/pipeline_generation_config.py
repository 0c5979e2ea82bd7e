import os
from lmdeploy import pipeline, GenerationConfig, TurbomindEngineConfig

backend_config = TurbomindEngineConfig(tp=1, quant_policy=4, session_len=2048, max_batch_size=8)
gen_config = GenerationConfig(top_p=0.8, top_k=40, temperature=0.8, max_new_tokens=64, stop_words=None)
pipe = pipeline(os.environ["MODEL"], backend_config=backend_config)
prompts = [[{'role': 'user', 'content': 'Hi, pls intro yourself'}],
           [{'role': 'user', 'content': 'Shanghai is'}]]
response = pipe(prompts, gen_config=gen_config)
print(response)
for item in pipe.stream_infer(prompts, gen_config=gen_config):
    print(item.text, end='')
