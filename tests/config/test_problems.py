"""Problems as lines."""

from callboard.config.problems import Problem, Source, choice, place, suggestion


def test_a_problem_has_the_line_of_the_nearest_table_that_has_one() -> None:
    source = Source(label="f.toml", lines={("models", "m"): 7})
    assert (
        str(source.problem(("models", "m", "provider"), "missing"))
        == "f.toml:7: [models.m] provider: missing"
    )
    assert str(source.problem(("log", "file"), "bad")) == "f.toml: [log] file: bad"


def test_a_variable_goes_before_the_file() -> None:
    source = Source(label="f", lines={("log", "file"): 1}, variables={("log", "file"): "LOG_FILE_PATH"})
    assert str(source.problem(("log", "file"), "bad")) == "LOG_FILE_PATH: [log] file: bad"


def test_a_problem_stays_on_one_line_whatever_a_key_is_named() -> None:
    assert (
        str(Problem(origin="f", line=1, place="[a\n\x1b\u2028]", message="x")) == "f:1: [a\\n\\x1b\\u2028]: x"
    )


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all() -> None:
    assert suggestion("prot", ("port", "host")) == '; did you mean "port"?'
    assert suggestion("zzz", ("port", "host")) == "; known here: host, port"
    assert suggestion("zzz", ()) == ""


def test_choices_and_places_read_like_sentences() -> None:
    assert choice(("a", "b", "c")) == '"a", "b" or "c"'
    assert choice(("a",)) == '"a"'
    assert place(("server", "port")) == "[server] port"
    assert place(("providers", "p", "timeouts", "idle_s")) == "[providers.p] timeouts.idle_s"
