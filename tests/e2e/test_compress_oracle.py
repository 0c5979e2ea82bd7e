"""Compression methods against plain numpy written from the papers' formulas, in f64, on small random layers."""
import os
import pathlib
import subprocess

import numpy as np
import pytest

GROUP = 32


@pytest.fixture(scope="module")
def tool():
    path = pathlib.Path(os.environ.get("TURGO_BUILD_DIR", "")) / "tests/tools/compress_matrix"
    if not path.exists():
        pytest.skip("tests/tools/compress_matrix is not built; ./run test builds it")
    return str(path)


@pytest.fixture(scope="module")
def layer():
    rng = np.random.default_rng(5)
    n, k, tokens = 40, 192, 700
    w = rng.standard_normal((n, k)) * np.exp(rng.standard_normal(k) * 0.3)
    mix = np.eye(k) + 0.15 * rng.standard_normal((k, k))  # inputs that depend on each other
    x = rng.standard_normal((tokens, k)) @ mix * np.exp(rng.standard_normal(k))
    return w.astype(np.float32), x.astype(np.float32)


def run(tool, tmp_path, method, layer, bits=4, group=GROUP, symmetric=False, sparsity=None):
    for name, value in zip("wx", layer):
        np.save(tmp_path / f"{name}.npy", value)
    done = subprocess.run([tool, method, tmp_path / "w.npy", tmp_path / "x.npy", tmp_path / "out", str(bits), str(group),
                           "sym" if symmetric else "asym", *([sparsity] if sparsity else [])], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {p.name.split(".")[1]: np.load(p) for p in tmp_path.glob("out.*.npy")}, done.stdout


def grid(w, bits, symmetric, shrink=1.0):
    """Scale (as f16 stores it) and zero of each row of w [rows, group]."""
    low, high = np.minimum(w.min(1), 0) * shrink, np.maximum(w.max(1), 0) * shrink
    top = 2**bits - 1
    span = 2 * np.maximum(-low, high) if symmetric else high - low
    scale = np.clip(span / top, 2.0**-14, 65504).astype(np.float32).astype(np.float16).astype(np.float32)
    zero = np.full(len(w), 2 ** (bits - 1)) if symmetric else np.clip(np.rint(-low / scale), 0, top)
    return scale, zero


def quantise(w, scale, zero, bits):
    return np.clip(np.rint((w / scale).astype(np.float32)) + zero, 0, 2**bits - 1)


def upper_factor(x, damping=0.01):
    """U of GPTQ: the upper Cholesky factor of (X^T X + lambda I)^-1."""
    h = x.astype(np.float64).T @ x.astype(np.float64)
    h += damping * np.mean(np.diag(h)) * np.eye(len(h))
    return np.linalg.cholesky(np.linalg.inv(h)).T, h


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
@pytest.mark.parametrize("symmetric", [False, True])
def test_rtn(tool, tmp_path, layer, bits, symmetric):
    out, _ = run(tool, tmp_path, "rtn", layer, bits, GROUP, symmetric)
    w = layer[0].reshape(-1, GROUP)
    scale, zero = grid(w, bits, symmetric)
    assert np.array_equal(out["scales"].ravel(), scale)
    assert np.array_equal(out["zeros"].ravel(), zero)
    codes = quantise(w, scale[:, None], zero[:, None], bits)
    assert np.array_equal(out["codes"].reshape(-1, GROUP), codes)
    assert np.allclose(out["weight"].reshape(-1, GROUP), (codes - zero[:, None]) * scale[:, None], rtol=1e-6)


def test_factor(tool, tmp_path, layer):
    out, _ = run(tool, tmp_path, "factor", layer)
    u, _ = upper_factor(layer[1])
    assert np.max(np.abs(out["u"] - u)) <= 2e-4 * np.max(np.abs(u))


@pytest.mark.parametrize("k", [64, 192, 200, 448])  # one block of H, one with a rest, several
def test_error_is_the_outputs_square(tool, tmp_path, k):
    rng = np.random.default_rng(k)
    w, x = rng.standard_normal((24, k)).astype(np.float32), (rng.standard_normal((300, k)) + 0.3).astype(np.float32)
    out, _ = run(tool, tmp_path, "error", (w, x), group=8)
    assert out["error"].item() == pytest.approx(np.sum((x.astype(np.float64) @ w.astype(np.float64).T) ** 2), rel=1e-5)


def test_clip_minimises_the_groups_error(tool, tmp_path, layer):
    w, x = layer
    out, _ = run(tool, tmp_path, "clip", layer, 3)
    h = x.astype(np.float64).T @ x.astype(np.float64)
    equal = 0
    for g in range(w.shape[1] // GROUP):
        part, block = w[:, g * GROUP : (g + 1) * GROUP], h[g * GROUP : (g + 1) * GROUP, g * GROUP : (g + 1) * GROUP]
        losses, scales = [], []
        for step in range(11):
            scale, zero = grid(part, 3, False, np.float32(1) - np.float32(0.05) * np.float32(step))
            d = (quantise(part, scale[:, None], zero[:, None], 3) - zero[:, None]) * scale[:, None] - part
            losses.append(np.einsum("ri,ij,rj->r", d, block, d))
            scales.append(scale)
        best = np.array(scales)[np.argmin(losses, 0), np.arange(len(w))]
        equal += np.sum(best == out["scales"][:, g])
    assert equal >= 0.98 * out["scales"].size  # near ties may fall either way in f32


def reference_gptq(w, x, bits, by_diagonal):
    w, k = w.astype(np.float64).copy(), w.shape[1]
    h0 = np.diag(x.astype(np.float64).T @ x.astype(np.float64))
    order = np.argsort(-h0, kind="stable") if by_diagonal else np.arange(k)
    u, _ = upper_factor(x[:, order])
    w = w[:, order]
    codes, decoded = np.zeros_like(w), np.zeros_like(w)
    static = [grid(layer_w, bits, False) for layer_w in np.split(np.asarray(w[:, np.argsort(order)], np.float32), k // GROUP, 1)]
    for p in range(k):
        column = order[p]
        if not by_diagonal and column % GROUP == 0:
            static[column // GROUP] = grid(w[:, p : p + GROUP].astype(np.float32), bits, False)
        scale, zero = static[column // GROUP]
        codes[:, column] = quantise(w[:, p], scale, zero, bits)
        decoded[:, column] = (codes[:, column] - zero) * scale
        error = (w[:, p] - decoded[:, column]) / u[p, p]
        w[:, p + 1 :] -= np.outer(error, u[p, p + 1 :])
    return codes, decoded


@pytest.mark.parametrize("method", ["gptq", "gptq_ordered"])
@pytest.mark.parametrize("bits", [3, 4])
def test_gptq(tool, tmp_path, layer, method, bits):
    w, x = layer
    out, _ = run(tool, tmp_path, method, layer, bits)
    codes, decoded = reference_gptq(w, x, bits, method == "gptq")
    # One code that rounds the other way in f32 moves the rest of its row: nearly all rows are equal to the code.
    assert np.mean(np.all(codes == out["codes"], 1)) >= 0.9
    energy = lambda d: np.linalg.norm(d @ x.T.astype(np.float64))
    assert energy(out["weight"] - w) == pytest.approx(energy(decoded - w), rel=0.01)
    plain, _ = run(tool, tmp_path, "rtn", layer, bits)
    assert energy(out["weight"] - w) < 0.9 * energy(plain["weight"] - w)


def smallest(scores, count):
    mask = np.zeros(scores.size, bool)
    mask[np.argsort(scores.ravel(), kind="stable")[:count]] = True
    return mask.reshape(scores.shape)


def test_magnitude_and_wanda(tool, tmp_path, layer):
    w, x = layer
    w = np.round(w * 4) / 4  # many ties
    out, printed = run(tool, tmp_path, "magnitude", (w, x), sparsity="0.5")
    assert int(printed) == w.size // 2 and np.array_equal(out["weight"], np.where(smallest(np.abs(w), w.size // 2), 0, w))
    norms = np.sqrt(np.sum(x.astype(np.float64) ** 2, 0))
    out, printed = run(tool, tmp_path, "wanda", layer, sparsity="0.5")
    expected = np.array([np.where(smallest(np.abs(row) * norms, w.shape[1] // 2), 0, row) for row in layer[0]])
    assert int(printed) == w.size // 2 and np.mean(out["weight"] == expected) > 0.999
    out, printed = run(tool, tmp_path, "wanda", layer, sparsity="2:4")
    blocks = (out["weight"] == 0).reshape(len(w), -1, 4).sum(2)
    assert int(printed) == w.size // 2 and np.all(blocks == 2)


def reference_sparsegpt(w, x, ratio):
    w, k = w.astype(np.float64).copy(), w.shape[1]
    u, _ = upper_factor(x)
    kept = 0.0
    for begin in range(0, k, 128):
        end = min(begin + 128, k)
        kept += ratio * len(w) * (end - begin)
        count = int(kept + 1e-9)
        kept -= count
        mask = smallest(w[:, begin:end] ** 2 / np.diag(u)[begin:end] ** 2, count)
        for p in range(begin, end):
            target = np.where(mask[:, p - begin], 0, w[:, p])
            error = (w[:, p] - target) / u[p, p]
            w[:, p] = target
            w[:, p + 1 :] -= np.outer(error, u[p, p + 1 :])
    return w


def test_sparsegpt(tool, tmp_path, layer):
    w, x = layer
    out, printed = run(tool, tmp_path, "sparsegpt", layer, sparsity="0.5")
    expected = reference_sparsegpt(w, x, 0.5)
    assert int(printed) == w.size // 2
    assert np.mean((out["weight"] == 0) == (expected == 0)) > 0.995
    energy = lambda d: np.linalg.norm(d @ x.T.astype(np.float64))
    assert energy(out["weight"] - w) == pytest.approx(energy(expected - w), rel=0.02)
    magnitude, _ = run(tool, tmp_path, "magnitude", layer, sparsity="0.5")
    assert energy(out["weight"] - w) < 0.7 * energy(magnitude["weight"] - w)
    out, printed = run(tool, tmp_path, "sparsegpt", layer, sparsity="2:4")
    assert np.all((out["weight"] == 0).reshape(len(w), -1, 4).sum(2) == 2)
