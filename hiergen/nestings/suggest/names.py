"""What words say of classes: similarity of their descriptions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hiergen.errors import HiergenError, SpecError, quoted, unquoted
from hiergen.nestings.suggest.evidence import Evidence, Floats, cosine, symmetric
from hiergen.taxonomy.load import Taxonomy

_HYPERNYMS = 3  # of them, upwards, whose words count too


def names_evidence(taxonomy: Taxonomy, model: str | None = None) -> Evidence:
    """Similarity of the classes' descriptions: name, synonyms, gloss, next hypernyms.

    Without `model` by TF-IDF of words and of their parts (no download); with it, a name or a folder that
    sentence-transformers knows (the extra `names`), by its embeddings, centred. Raises HiergenError where the package
    or the model is not there.
    """
    texts = descriptions(taxonomy)
    if model is None:
        note = "Similarity: cosine of TF-IDF vectors of names, synonyms, glosses and next hypernyms."
        return Evidence("names", tfidf_similarity(texts), (note,))
    return Evidence(
        "names", cosine(_embedded(texts, model)), (f"Similarity: cosine of embeddings by {Path(model).name}, centred.",)
    )


def descriptions(taxonomy: Taxonomy) -> list[str]:
    """One text for each class; of a class that WordNet has not, its name and its groups in the merged tree."""
    from hiergen.taxonomy.tree import ROOT, ancestors, class_key, info

    wordnet, tree = taxonomy.wordnet, taxonomy.tree
    texts = []
    for entry in taxonomy.classes:
        parts = [entry.name.replace("_", " ")]
        if entry.synset is None:
            above = list(ancestors(tree, class_key(entry.id)))[1:]
            parts += [info(tree, key).name for key in above if key != ROOT][:_HYPERNYMS]
        else:
            parts += [*wordnet.lemmas(entry.synset), wordnet.gloss(entry.synset)]
            current = [entry.synset]
            for _ in range(_HYPERNYMS):
                current = [up for synset in current for up in wordnet.hypernyms(synset)]
                parts += [", ".join(wordnet.lemmas(synset)) for synset in current]
        texts.append("; ".join(dict.fromkeys(parts)))
    return texts


def tfidf_similarity(texts: Sequence[str]) -> Floats:
    """Cosine of TF-IDF vectors `(n, n)`: words, and pieces of four or five letters (wildcat is like cat), half each."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    total = np.zeros((len(texts), len(texts)))
    for options in (
        {"token_pattern": r"(?u)\b\w\w+\b", "stop_words": "english"},
        {"analyzer": "char_wb", "ngram_range": (4, 5)},
    ):
        try:
            vectors = TfidfVectorizer(sublinear_tf=True, **options).fit_transform(texts)
        except ValueError:  # no word at all, as where classes are called 0, 1, 2: nothing is said
            continue
        total += (vectors @ vectors.T).toarray() / 2
    return symmetric(total)


def _embedded(texts: Sequence[str], model: str) -> Floats:
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError:
        raise HiergenError(
            "text embeddings need the package sentence-transformers", hint="pip install 'hiergen[names]'"
        ) from None
    local = Path(model).expanduser()
    try:
        encoder = SentenceTransformer(str(local) if local.exists() else model, device="cpu")
        rows = encoder.encode(list(texts), convert_to_numpy=True, show_progress_bar=False)
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SpecError(
            f"the text model {quoted(model)} cannot be used",
            expected="a folder of a sentence-transformers model, or a name on the hub",
            hint=unquoted(reason),
        ) from None
    vectors = np.asarray(rows, dtype=np.float64)
    if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
        raise SpecError(f"the text model {quoted(model)} gives no embeddings", got=f"an array {vectors.shape}")
    return vectors
