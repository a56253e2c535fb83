"""What a word means in WordNet, ranked for the company that it keeps."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hiergen.taxonomy.load import Taxonomy, load_taxonomy
from hiergen.taxonomy.senses import Label, read_names
from hiergen.taxonomy.wordnet.nouns import default


@dataclass(frozen=True)
class Meaning:
    """One sense: its synset's name and wnid, its synonyms, what it is (`kind`, its hypernym) and its gloss."""

    synset: str
    wnid: str
    synonyms: tuple[str, ...]
    kind: str
    gloss: str


@dataclass(frozen=True)
class Senses:
    """A word's senses, the likeliest first. `exact`: they are senses of the word, not of its head word; `nearest`:
    words to try where there is none."""

    word: str
    senses: tuple[Meaning, ...]
    exact: bool
    nearest: tuple[str, ...]

    def text(self) -> str:
        """For a terminal: one line for each sense, to be pasted under `synsets:`."""
        if not self.senses:
            near = f"; nearest: {', '.join(self.nearest)}" if self.nearest else ""
            return f"{self.word}: not in WordNet{near}"
        head = self.word if self.exact else f"{self.word}: not in WordNet; a kind of"
        width = max(len(meaning.synset) for meaning in self.senses)
        rows = [f"  {m.synset:{width}}  {m.wnid}  {m.gloss}" for m in self.senses]
        return "\n".join([head, *rows])

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def senses(word: str, company: str | Path | Taxonomy | None = None) -> Senses:
    """What a word means, the likeliest sense first; among the classes of a taxonomy, where one is given.

    >>> senses("crane", "tiny-imagenet-100").senses[0].synset
    'crane.n.05'
    """
    taxonomy = load_taxonomy(company) if isinstance(company, str | Path) else company
    wordnet = taxonomy.wordnet if taxonomy else default()
    labels = [Label(c.id, c.synset) for c in taxonomy.classes if c.id != word and c.synset] if taxonomy else []
    sense = read_names([*labels, Label(word)], wordnet)[-1]
    wnids = ([sense.synset] if sense.synset else []) + list(sense.others)
    meanings = [
        Meaning(
            wordnet.synset_name(wnid),
            wnid,
            wordnet.lemmas(wnid),
            ", ".join(wordnet.lemmas(above)[0] for above in wordnet.hypernyms(wnid)[:1]),
            wordnet.gloss(wnid),
        )
        for wnid in wnids
    ]
    return Senses(word, tuple(meanings), sense.exact, () if wnids else wordnet.nearest_names(word[:100]))
