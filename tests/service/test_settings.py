from pathlib import Path

import pytest

from kembar.errors import ConfigError
from kembar.service.settings import Settings, find_token, is_loopback
from services import TOKEN


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "LocalHost", "::1", "[::1]"])
def test_loopback_needs_no_token(host: str) -> None:
    assert is_loopback(host)
    assert Settings(host=host).token is None


@pytest.mark.parametrize(
    "host", ["0.0.0.0", "::", "192.168.1.2", "example.org", "localhost.example.org", "127.0.0.1.x"]
)
def test_any_other_address_does(host: str) -> None:
    for given in ({"host": host}, {"hosts": (host,)}):
        with pytest.raises(ConfigError, match="without a token; expected a token in the variable KEMBAR_TOKEN"):
            Settings(**given)
        assert Settings(**given, token=TOKEN).token == TOKEN


@pytest.mark.parametrize("token", ["", "short", "a" * 15, "ä" * 20, "two words of a token", "line\nbreak-in-a-token"])
def test_a_weak_token_is_refused_and_not_told(token: str) -> None:
    with pytest.raises(ConfigError, match=f"a token of {len(token)} characters") as error:
        Settings(token=token)
    assert not token or token not in str(error.value)


def test_a_token_is_not_shown() -> None:
    assert TOKEN not in repr(Settings(token=TOKEN))


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"queue": -1}, {"max_body": 0}, {"port": 65536}, {"photo_seconds": 0.0}, {"port": -1}]
)
def test_limits_out_of_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Settings(**wrong)


def test_tokens_come_from_a_file_or_the_environment(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    (tmp_path / "empty").touch()
    (tmp_path / "odd").write_bytes(b"\xff\xfe")
    assert find_token(tmp_path / "token", {"KEMBAR_TOKEN": "another"}) == TOKEN
    assert find_token(None, {"KEMBAR_TOKEN": f" {TOKEN} "}) == TOKEN
    assert find_token(None, {}) is find_token(None, {"KEMBAR_TOKEN": ""}) is None
    for name, told in (("missing", "No such file"), ("empty", "is empty"), ("odd", "not ASCII")):
        with pytest.raises(ConfigError, match=told):
            find_token(tmp_path / name, {})
