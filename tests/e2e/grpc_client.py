"""A client of proto/turgo/v1/engine.proto that needs no generated code: protoc describes the messages."""
import functools
import pathlib
import subprocess
import tempfile

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

ROOT = pathlib.Path(__file__).resolve().parents[2]
SERVICE = "turgo.v1.Engine"


@functools.cache
def pool():
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", "-I", str(ROOT / "proto"), f"--descriptor_set_out={out.name}", "--include_imports",
                        "turgo/v1/engine.proto", "grpc/health/v1/health.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(pathlib.Path(out.name).read_bytes())
    made = descriptor_pool.DescriptorPool()
    for one in files.file:
        made.Add(one)
    return made


def message(name):
    """The class of a message: message("GenerateRequest")(text="Hi")."""
    full = name if "." in name else "turgo.v1." + name
    return message_factory.GetMessageClass(pool().FindMessageTypeByName(full))


class Client:
    """client.Tokenize(text="Hi"), client.GenerateStream(text="Hi", max_new_tokens=3, timeout=5, metadata=[…]): one answer, or a call that
    is iterated. Raw bytes instead of fields go out as they stand."""

    def __init__(self, address, credentials=None, options=()):
        self.channel = grpc.secure_channel(address, credentials, options) if credentials else grpc.insecure_channel(address, options)

    def close(self):
        self.channel.close()

    def __getattr__(self, method):
        described = pool().FindServiceByName(SERVICE).methods_by_name[method]
        request = message(described.input_type.full_name)
        answer = message(described.output_type.full_name)
        make = self.channel.unary_stream if described.server_streaming else self.channel.unary_unary
        call = make(f"/{SERVICE}/{method}", request_serializer=lambda r: r if isinstance(r, bytes) else r.SerializeToString(),
                    response_deserializer=answer.FromString)

        def run(raw=None, timeout=60, metadata=(), wait=True, **fields):
            given = raw if raw is not None else request(**fields)
            if described.server_streaming or wait:
                return call(given, timeout=timeout, metadata=metadata)
            return call.future(given, timeout=timeout, metadata=metadata)
        return run

    def health(self, service=""):
        call = self.channel.unary_unary("/grpc.health.v1.Health/Check", request_serializer=lambda m: m.SerializeToString(),
                                        response_deserializer=message("grpc.health.v1.HealthCheckResponse").FromString)
        return call(message("grpc.health.v1.HealthCheckRequest")(service=service), timeout=10).status  # 1: SERVING

    def services(self):
        """What reflection lists, as bytes of its answer."""
        call = self.channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
        return next(call(iter([b"\x3a\x00"]), timeout=10))  # list_services: ""


def text_of(call):
    events = list(call)
    return "".join(event.text for event in events), events


def code_of(call, *arguments, **fields):
    """(status name, its text) of a call that fails, ("OK", answer) of one that does not."""
    try:
        answer = call(*arguments, **fields)
        return "OK", list(answer) if hasattr(answer, "__next__") else answer
    except grpc.RpcError as error:
        return error.code().name, error.details()
