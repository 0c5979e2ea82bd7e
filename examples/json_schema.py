"""An answer that fits a JSON schema, whatever the model would like to say.   python json_schema.py MODEL"""
import json
import sys

from turgo import GenerationConfig, pipeline

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 20}, "age": {"type": "integer", "minimum": 1, "maximum": 99}},
    "required": ["name", "age"],
}

with pipeline(sys.argv[1]) as pipe:
    config = GenerationConfig(
        max_new_tokens=80, temperature=0,
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": SCHEMA}})
    person = json.loads(pipe("Invent a person.", config).text)
    print(person["name"], person["age"])
