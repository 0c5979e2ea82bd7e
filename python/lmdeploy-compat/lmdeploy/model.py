"""Chat templates by name."""

from turgo import ChatTemplateConfig, list_models

__all__ = ["ChatTemplateConfig", "MODELS", "list_models"]


class _Names:
    """As much of mmengine's registry as scripts look at: `for name in MODELS.module_dict`."""

    @property
    def module_dict(self) -> dict[str, str]:
        return {name: name for name in list_models()}


MODELS = _Names()
