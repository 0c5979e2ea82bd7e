"""HTTP/2 by hand, for what no client library sends: frames as bytes, and calls whose headers and message bytes are free."""
import contextlib
import socket
import struct

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 0, 1, 2, 3, 4, 6, 7, 8, 9
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8


def frame(kind, flags=0, stream=0, body=b""):
    return struct.pack(">I", len(body))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + body


def call_headers(path="/turgo.v1.Engine/Tokenize", more=()):
    return [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "engine"), ("content-type", "application/grpc"),
            ("te", "trailers"), *more]


def block(headers):
    return hpack.Encoder().encode(headers)


def open_call(stream=1, **more):
    return frame(HEADERS, END_HEADERS, stream, block(call_headers(**more)))


def connect(address, timeout=10):
    host, port = address.rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=timeout)


def attack(address, pieces, seconds=2):
    """Sends preface, settings and `pieces` until the peer closes; returns a word for what became of the connection."""
    with connect(address) as wire:
        wire.settimeout(seconds)
        sent = 0
        try:
            wire.sendall(PREFACE + frame(SETTINGS))
            for piece in pieces:
                wire.sendall(piece)
                sent += 1
        except OSError:
            return f"cut off after {sent} pieces"
        got = b""
        try:
            while piece := wire.recv(65536):
                got += piece
                if len(got) > 1 << 22:
                    return "answered with megabytes"
        except TimeoutError:
            return f"kept open, {len(got)} bytes came"
        except OSError:
            pass
        return "closed"


def message_bytes(data, flag=0, length=None):
    """gRPC's prefix: flag, length, then the bytes."""
    return bytes([flag]) + struct.pack(">I", len(data) if length is None else length) + data


def call(address, path="/turgo.v1.Engine/Tokenize", body=b"", headers=(), timeout=15, half_close=True):
    """{"grpc-status": …} of one call whose bytes are free; {"reset": code} or {"closed": True} where there is no status, {"silent": True}
    after `timeout`."""
    with connect(address, timeout) as wire:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, validate_outbound_headers=False,
                                                                          normalize_outbound_headers=False))
        connection.initiate_connection()
        stream = connection.get_next_available_stream_id()
        try:
            connection.send_headers(stream, call_headers(path, headers))
            wire.sendall(connection.data_to_send())
            sent, out = 0, {}
            while True:
                while sent < len(body):
                    room = min(connection.local_flow_control_window(stream), connection.max_outbound_frame_size, len(body) - sent)
                    if room <= 0:
                        break
                    connection.send_data(stream, body[sent:sent + room])
                    sent += room
                if sent == len(body) and half_close:
                    connection.end_stream(stream)
                    half_close = False
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # what was said before the end is still to be read
                    wire.sendall(connection.data_to_send())
                data = wire.recv(65536)
                if not data:
                    return out or {"closed": True}
                for event in connection.receive_data(data):
                    if isinstance(event, (h2.events.ResponseReceived, h2.events.TrailersReceived)):
                        out.update({k.decode() if isinstance(k, bytes) else k: v.decode() if isinstance(v, bytes) else v for k, v in event.headers})
                    if isinstance(event, h2.events.DataReceived):
                        connection.acknowledge_received_data(event.flow_controlled_length, stream)
                    if isinstance(event, h2.events.StreamReset):
                        return {**out, "reset": int(event.error_code)}
                    if isinstance(event, h2.events.ConnectionTerminated):
                        return out or {"closed": True}
                    if isinstance(event, h2.events.StreamEnded):
                        return out
        except TimeoutError:
            return {"silent": True}
        except (OSError, h2.exceptions.ProtocolError):
            return out or {"closed": True}
