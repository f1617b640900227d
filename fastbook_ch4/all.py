"Every public name at once, as fastai's own `all` modules give them: `from fastbook_ch4.all import *`."
import importlib
import pkgutil
import fastbook_ch4

__all__ = []
for _name in sorted(o.name for o in pkgutil.iter_modules(fastbook_ch4.__path__)):
    if _name[0] == "_" or _name == "all": continue
    _module = importlib.import_module(f"fastbook_ch4.{_name}")
    globals().update({o: getattr(_module, o) for o in _module.__all__})
    __all__ += _module.__all__
