"""torch's parameter names of PP-MobileSeg, TopFormer and STDC as PaddleSeg's. No tensor changes its shape."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

# What torch's DistributedDataParallel puts before every name.
_WRAPPER = "module."

# Applied in this order to every name; each is one rule of the two code bases' difference. But for the first two, they
# are about mmsegmentation's PP-MobileSeg; TopFormer and STDC have PaddleSeg's names otherwise.
_RULES: tuple[tuple[str, str], ...] = (
    (r"\.running_mean$", "._mean"),
    (r"\.running_var$", "._variance"),
    (r"(smb1\.conv)\.conv\.", r"\1.c."),
    (r"((?:expand|bottleneck|linear)_conv)\.conv\.", r"\1.c."),
    (r"(mid_se)\.conv_act([12])\.conv\.", r"\1.conv\2."),
    (r"(attn\.(?:to_q|to_k|to_v|dwconv|pwconv))\.conv\.", r"\1.c."),
    (r"(attn\.(?:proj|proj_encode_row|proj_encode_column))\.conv\.", r"\1.1.c."),
    (r"(attn\.(?:proj|proj_encode_row|proj_encode_column))\.bn\.", r"\1.1.bn."),
    (r"(attn\.stride_conv)\.conv\.", r"\1.0."),
    (r"(attn\.stride_conv)\.bn\.", r"\1.1."),
    (r"(mlp\.fc[12])\.conv\.", r"\1.c."),
    (r"(mlp\.dwconv)\.conv\.", r"\1."),
)


def to_paddleseg_names(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Rename a torch state_dict; counters of seen batches, which Paddle does not keep, are left out.

    Raises:
        ValueError: two names become one.
    """
    renamed: dict[str, np.ndarray] = {}
    wrapped = all(name.startswith(_WRAPPER) for name in state)
    for name, array in state.items():
        name = name.removeprefix(_WRAPPER) if wrapped else name
        if name.endswith(".num_batches_tracked"):
            continue
        for pattern, replacement in _RULES:
            name = re.sub(pattern, replacement, name)
        if name in renamed:
            raise ValueError(f"two tensors of the file would both be called {name}")
        renamed[name] = array
    return renamed
