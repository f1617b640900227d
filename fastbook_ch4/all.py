"Every public name at once, as fastai's own `all` modules give them: `from fastbook_ch4.all import *`."
import importlib
import pkgutil

import fastbook_ch4

__all__ = []
for _module in sorted(o.name for o in pkgutil.iter_modules(fastbook_ch4.__path__)):
    if _module.startswith("_") or _module == "all": continue
    _names = importlib.import_module(f"fastbook_ch4.{_module}").__all__
    globals().update({o: getattr(importlib.import_module(f"fastbook_ch4.{_module}"), o) for o in _names})
    __all__ += _names
