"""Every flag of the server is also TURGO_* in the environment and a key of --config, with the same outcome; flags win."""
import json
import re

import pytest

NOWHERE = "/nonexistent/model.gguf"


@pytest.fixture(scope="module")
def flags(turgo):
    text = turgo("serve", "api_server", "--help", check=0).stdout
    found = re.findall(r"^ +(--[a-z0-9-]+)( [A-Z=]+)?", text, re.M)
    return [(flag, bool(value)) for flag, value in found if flag != "--help"]


def outcome(done):
    return done.returncode, done.stderr, done.stdout


def test_lmdeploy_flags_are_there(flags):
    names = {flag for flag, _ in flags}
    for name in ("server-name server-port allow-origins allow-methods allow-headers allow-credentials qos-config-path backend log-level api-keys ssl "
                 "meta-instruction chat-template cap adapters tp model-name session-len max-batch-size cache-max-entry-count cache-block-seq-len "
                 "model-format quant-policy rope-scaling-factor trust-remote-code max-queue timeout drain-timeout threads config unix-socket api-prefix "
                 "models-dir idle-timeout allowed-hosts tool-call-parser reasoning-parser").split():
        assert "--" + name in names, name


def test_servers_say_the_same_of_their_flags(turgo):
    """What two servers take under one name has one meaning and one default."""
    server, proxy = ({flag: text for flag, text in re.findall(r"^ +(--[a-z0-9-]+)(.*\n(?:(?! +--).+\n)*)", turgo("serve", name, "--help", check=0).stdout, re.M)}
                     for name in ("api_server", "proxy"))
    # Their values differ: a port of its own, TLS by environment, keys without shares, time without an answer or without a byte.
    both = (server.keys() & proxy.keys()) - {"--help", "--server-port", "--ssl-certfile", "--ssl-keyfile", "--api-keys-file", "--timeout"}
    assert len(both) >= 6 and {flag for flag in both if server[flag] != proxy[flag]} == set()


def test_environment_is_the_command_line(turgo, flags):
    """A value that no flag takes for a number, word or file ends the same way, wherever it was said."""
    different = 0
    plain = outcome(turgo("serve", "api_server", NOWHERE, check=2))
    for flag, takes_value in flags:
        value = "wrong!" if takes_value else "true"
        said = outcome(turgo("serve", "api_server", NOWHERE, flag, *([value] if takes_value else [])))
        heard = outcome(turgo("serve", "api_server", NOWHERE, env={"TURGO_" + flag[2:].upper().replace("-", "_"): value}))
        assert heard == said and said[0] != 0, flag
        different += said != plain
    assert different > 25  # the others are texts that matter later


def test_lists_as_lmdeploy_takes_them(turgo):
    """--api-keys A B is two keys: neither is taken for a model."""
    many = turgo("serve", "api_server", NOWHERE, "--api-keys", "a", "b", "--allow-origins", "x", "y", check=2)
    assert NOWHERE in many.stderr and many.stderr.count("\n") == 1


def test_config_file(turgo, tmp_path):
    def run(config, *more, env=None):
        (tmp_path / "c.json").write_text(config if isinstance(config, str) else json.dumps(config))
        return turgo("serve", "api_server", NOWHERE, "--config", tmp_path / "c.json", *more, env=env)

    assert "tp" in run({"tp": "x"}).stderr and run({"tp": "x"}).returncode == 2
    assert "server_prt" in run({"server_prt": 1}).stderr and "server_port" in run({"server_prt": 1}).stderr
    assert "api-prefix" in run({"api_prefix": "x"}).stderr
    assert "api-prefix" not in run({"api_prefix": "x"}, "--api-prefix", "/a").stderr  # the flag wins
    assert "api-prefix" not in run({"api_prefix": "x"}, env={"TURGO_API_PREFIX": "/a"}).stderr  # and the environment
    for broken in ("", "[", "[]", "5"):
        done = run(broken)
        assert done.returncode in (2, 3) and done.stderr.count("\n") == 1, done.stderr
    assert turgo("serve", "api_server", NOWHERE, "--config", tmp_path / "none").stderr.count("\n") == 1


@pytest.mark.parametrize("flag,value", [("--adapters", "a=/b"), ("--qos-config-path", "q.json"), ("--meta-instruction", "Be kind."), ("--cap", "python"),
                                        ("--api-prefix", "llm"), ("--tool-call-parser", "what"), ("--reasoning-parser", "what"), ("--ssl", None),
                                        ("--quant-policy", "5"), ("--tp", "0"), ("--server-port", "70000"), ("--backend", "tensorrt")])
def test_what_is_not_built_is_refused_in_one_line(turgo, flag, value):
    done = turgo("serve", "api_server", NOWHERE, flag, *([value] if value else []), env={"SSL_KEYFILE": "", "SSL_CERTFILE": ""})
    assert done.returncode == 2 or "not built" in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and (flag[2:] in done.stderr or flag == "--ssl"), done.stderr
