"""langchain-openai: chat, streams, batches, tools, structured output, embeddings."""
import asyncio

import pytest
from langchain_openai import ChatOpenAI, OpenAI, OpenAIEmbeddings
from pydantic import BaseModel, Field


@pytest.fixture(scope="module")
def chat(server):
    return ChatOpenAI(model="smollm2", base_url=server.url + "/v1", api_key="none", temperature=0, max_tokens=24, max_retries=0)


def test_chat_stream_batch(chat):
    answer = chat.invoke("Name three colours.")
    assert answer.content and answer.usage_metadata["output_tokens"] <= 24
    assert "".join(chunk.content for chunk in chat.stream("Name three colours.")) == answer.content
    assert [one.content for one in chat.batch(["Name three colours."] * 4)] == [answer.content] * 4
    assert asyncio.run(chat.ainvoke("Name three colours.")).content == answer.content


class Person(BaseModel):
    """A person of the text."""
    name: str = Field(max_length=20)
    age: int = Field(ge=0, le=150)


def test_structured_output(chat):
    longer = chat.model_copy(update={"max_tokens": 100})
    for method in ("json_schema", "function_calling"):
        person = longer.with_structured_output(Person, method=method).invoke("Anna is 31 years old.")
        assert isinstance(person, Person) and 0 <= person.age <= 150, method


def test_tools(chat):
    def add(a: int, b: int) -> int:
        """Adds two numbers."""
        return a + b

    called = ChatOpenAI(model="smollm2", base_url=chat.openai_api_base, api_key="none", temperature=0, max_tokens=100).bind_tools(
        [add], tool_choice="add", parallel_tool_calls=False).invoke("What is 2 + 3?")
    [call] = called.tool_calls
    assert call["name"] == "add" and isinstance(call["args"]["a"], int)


def test_completion_and_embeddings(server, chat):
    llm = OpenAI(model="smollm2", base_url=server.url + "/v1", api_key="none", temperature=0, max_tokens=4)
    assert llm.invoke("1, 2, 3, 4,").startswith(" 5")
    vectors = OpenAIEmbeddings(model="smollm2", base_url=server.url + "/v1", api_key="none", check_embedding_ctx_length=False).embed_documents(["a", "b"])
    assert len(vectors) == 2 and len(vectors[0]) == 576
