"""/v1/embeddings with the official openai client."""
import math
import threading

import openai
import pytest

TEXTS = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "The stock market fell by two percent."]


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=server.url + "/v1", api_key="none", max_retries=0) as one:
        yield one


def embed(client, texts, **more):
    return [item.embedding for item in client.embeddings.create(model="smollm2", input=texts, **more).data]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def test_vectors(client):
    vectors = embed(client, TEXTS, encoding_format="float")
    assert {len(vector) for vector in vectors} == {576} and all(abs(math.hypot(*vector) - 1) < 1e-5 for vector in vectors)
    assert dot(vectors[0], vectors[1]) > dot(vectors[0], vectors[2])
    assert embed(client, TEXTS) == vectors  # the client's own default is base64
    assert embed(client, TEXTS[1]) == vectors[1:2]


def test_dimensions_are_cut_then_normalised(client):
    whole, cut = embed(client, TEXTS[0])[0], embed(client, TEXTS[0], dimensions=64)[0]
    scale = math.hypot(*whole[:64])
    assert len(cut) == 64 and all(abs(a / scale - b) < 1e-6 for a, b in zip(whole, cut))


def test_token_ids_and_usage(client, server):
    ids = server.post("/tokenize", {"prompt": TEXTS[0]})[1]["tokens"]
    answer = client.embeddings.create(model="smollm2", input=[ids, ids], encoding_format="float")
    assert answer.data[0].embedding == answer.data[1].embedding == embed(client, TEXTS[0])[0]
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 2 * len(ids)


def test_same_beside_other_work(client, server):
    alone = embed(client, TEXTS * 3)
    busy = threading.Thread(target=server.post, args=("/v1/completions", {"prompt": "Once", "max_tokens": 100}))
    busy.start()
    assert embed(client, TEXTS * 3) == alone
    busy.join()


@pytest.mark.parametrize("body, field", [
    ({}, "input"), ({"input": ""}, "input"), ({"input": [1, -1]}, "input"), ({"input": [10 ** 12]}, "input"), ({"input": {}}, "input"),
    ({"input": ["a"] * 2049}, "input"), ({"input": "a", "dimensions": 577}, "dimensions"), ({"input": "a", "dimensions": 0}, "dimensions"),
    ({"input": "a", "encoding_format": "hex"}, "encoding_format"), ({"input": "a", "temperature": 1}, "temperature"),
    ({"input": " a" * 20000}, "input"),
])
def test_refusals(server, body, field):
    status, answer = server.post("/v1/embeddings", body)
    assert status == 400 and answer["error"]["param"] == field
