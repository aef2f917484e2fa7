"""Whether the hub answers: its own client waits for ever for one that takes the call and says nothing."""

from __future__ import annotations

SECONDS = 10  # that it is waited for


def answers(kind: str, name: str, revision: str | None = None) -> bool:
    """Whether the hub says anything of a model or dataset, be it no; False out of reach, or offline by request."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError  # type: ignore[attr-defined]

    if constants.is_offline_mode():
        return False
    try:
        HfApi(endpoint=constants.ENDPOINT).repo_info(name, repo_type=kind, revision=revision, timeout=SECONDS)
    except (HfHubHTTPError, HFValidationError):
        return True
    except (HTTPError, OSError):
        return False
    return True
