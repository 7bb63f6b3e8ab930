"""A person in a terminal, with nothing but a model's address."""

from pathlib import Path

from tests.servers.models import ModelServer, Reply
from tests.stories.program import chat, environment, plain_text_in, running


async def test_a_piped_question_prints_the_reply_alone(tmp_path: Path) -> None:
    async with ModelServer() as models:
        models.reply("Paris.")
        code, out, err = await chat(
            environment(tmp_path, OPENAI_BASE_URL=models.url), "What is the capital of France?\n"
        )
        assert (code, out, err) == (0, "Paris.\n", "")


async def test_a_question_as_argument_is_answered(tmp_path: Path) -> None:
    async with ModelServer() as models:
        models.brain = lambda request: Reply(text=request["messages"][-1]["content"].rpartition("\n")[2].upper())
        code, out, _ = await chat(environment(tmp_path, OPENAI_BASE_URL=models.url), "", "hello", "there")
        assert (code, out) == (0, "HELLO THERE\n")


async def test_the_terminal_is_a_client_of_a_program_that_runs(tmp_path: Path) -> None:
    async with ModelServer() as models:
        settings = environment(tmp_path, OPENAI_BASE_URL=models.url)
        models.reply("From the one that runs.")
        async with running(settings):
            code, out, err = await chat(settings, "hello")
        assert (code, out, err) == (0, "From the one that runs.\n", "")


async def test_a_model_that_fails_is_a_sentence_on_standard_error(tmp_path: Path) -> None:
    async with ModelServer() as models:
        models.fail(status=500, times=10)
        code, out, err = await chat(environment(tmp_path, OPENAI_BASE_URL=models.url), "hello")
        assert (code, out) == (1, "")
        assert "OpenAI could not answer" in err


async def test_what_was_said_is_not_readable_in_the_data_folder(tmp_path: Path) -> None:
    async with ModelServer() as models:
        models.reply("An answer about marzipan.")
        await chat(environment(tmp_path, OPENAI_BASE_URL=models.url), "tell me of marzipan and nougat")
        assert plain_text_in(tmp_path, "marzipan", "nougat") == []
        assert (tmp_path / "key").stat().st_mode & 0o077 == 0


async def test_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    code, out, err = await chat(environment(tmp_path, PIERIA_ACCESS="everybody"), "hello")
    assert (code, out) == (1, "")
    assert err.count("\n") == 1
    assert "PIERIA_ACCESS" in err
