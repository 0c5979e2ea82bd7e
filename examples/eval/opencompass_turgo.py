"""OpenCompass (0.5) over `turgo serve api_server`: local multiple-choice questions, answered in words through the chat API.

    turgo serve api_server MODEL --model-name turgo &
    TURGO_QUESTIONS=QUESTIONS.jsonl TURGO_TOKENIZER=FOLDER opencompass examples/eval/opencompass_turgo.py --work-dir OUT

A line of QUESTIONS.jsonl has "query", "A", "B" and "answer" (a letter), as `bench/lm_eval_tasks.py --write` makes them.
FOLDER holds tokenizer.json: OpenCompass counts tokens with it, and downloads one of its own where none is named.
TURGO_URL is the server's address, http://127.0.0.1:23333 by default.
"""
import os

from opencompass.datasets import CustomDataset
from opencompass.datasets.custom import OptionSimAccEvaluator
from opencompass.models import OpenAI
from opencompass.openicl.icl_inferencer import GenInferencer
from opencompass.openicl.icl_prompt_template import PromptTemplate
from opencompass.openicl.icl_retriever import ZeroRetriever

questions = os.path.abspath(os.environ['TURGO_QUESTIONS'])
url = os.environ.get('TURGO_URL', 'http://127.0.0.1:23333')
prompt = 'Which words follow? Answer with one letter.\n\n{query} …\n\nA. {A}\nB. {B}\n'

datasets = [dict(
    abbr='turgo_continuations',
    type=CustomDataset,
    path=questions,
    reader_cfg=dict(input_columns=['query', 'A', 'B'], output_column='answer'),
    infer_cfg=dict(
        prompt_template=dict(type=PromptTemplate, template=dict(round=[dict(role='HUMAN', prompt=prompt)])),
        retriever=dict(type=ZeroRetriever),
        inferencer=dict(type=GenInferencer, max_out_len=16),
    ),
    eval_cfg=dict(evaluator=dict(type=OptionSimAccEvaluator, options=['A', 'B']), pred_role='BOT'),
)]

models = [dict(
    abbr='turgo',
    type=OpenAI,
    path='turgo',  # the server's --model-name
    openai_api_base=url + '/v1/chat/completions',
    key='none',
    tokenizer_path=os.environ['TURGO_TOKENIZER'],
    meta_template=dict(round=[dict(role='HUMAN', api_role='HUMAN'), dict(role='BOT', api_role='BOT', generate=True)]),
    query_per_second=1000,
    max_workers=4,
    temperature=0,
    max_seq_len=2048,
    max_out_len=16,
    batch_size=16,
)]

del os  # a configuration is written out again: values alone
