"""Writes tokenizer.model files field by field (protobuf wire format), for what the trainer does not make: unused pieces,
odd scores, broken files."""
import struct

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def varint(value):
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, value):
    if isinstance(value, (bool, int)):
        return varint(number << 3) + varint(int(value))
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def model(pieces, model_type=2, byte_fallback=False, charsmap=b"", add_dummy_prefix=True, remove_extra_whitespaces=True,
          escape_whitespaces=True):
    """pieces: (text, score, type) each; model_type: 1 Unigram, 2 BPE."""
    out = b"".join(field(1, field(1, t) + field(2, float(s)) + field(3, k)) for t, s, k in pieces)
    out += field(2, field(3, model_type) + field(35, byte_fallback) + field(4, len(pieces)))
    return out + field(3, field(1, "test") + field(2, charsmap) + field(3, add_dummy_prefix) +
                       field(4, remove_extra_whitespaces) + field(5, escape_whitespaces))


def base(byte_fallback=False):
    pieces = [("<unk>", 0, UNKNOWN), ("<s>", 0, CONTROL), ("</s>", 0, CONTROL)]
    return pieces + [(f"<0x{b:02X}>", 0, BYTE) for b in range(256)] * byte_fallback
