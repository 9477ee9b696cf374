import subprocess
import sys
from pathlib import Path

import pytest

GUARDED = "import dim, torchvision; from torchvision.transforms import Compose; print('alive')"


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)


def test_torchvision_imports_after_dim():
    assert run(GUARDED).stdout.strip() == "alive"


def test_dim_itself_imports_neither_torch_nor_torchvision_nor_pandas():
    assert (
        run("import dim, sys; print({'torch', 'torchvision', 'pandas'} & set(sys.modules))").stdout.strip() == "set()"
    )


def test_schemas_are_defined_only_where_no_compiled_library_loads(tmp_path):
    code = (
        f"import torch, pathlib; from dim import _torchvision as guard; folder = pathlib.Path({str(tmp_path)!r});"
        "torch.ops.load_library = lambda path: None if 'good' in path else (_ for _ in ()).throw(OSError(path));"
        "tell = lambda: print(guard.define_missing_schemas(folder), hasattr(torch.ops.torchvision, 'nms'));"
        "(folder / '_C_bad.so').touch(); (folder / '_C_good.so').touch(); tell();"
        "(folder / '_C_good.so').unlink(); tell()"
    )
    assert run(code).stdout.split() == ["False", "False", "True", "True"]


def test_an_unknown_attribute_is_an_attribute_error_and_records_are_found():
    import dim

    assert dim.Mention(id="m", mention="A").context == ""
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = dim.nothing_here
    assert Path(dim.__file__).name == "__init__.py"
