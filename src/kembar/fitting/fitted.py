"""What learning from labels gives: a classifier, and all that `match` needs beside it, in one folder."""

from dataclasses import dataclass
from pathlib import Path

from kembar.classifier.pair_classifier import PairClassifier
from kembar.config import HERE, Config
from kembar.fitting.tuning import Tuned, new_model


@dataclass(frozen=True, slots=True)
class FittedClassifier:
    """What learning found.

    Attributes:
        classifier: what decides about pairs.
        config: what it was trained with, and the cut for its probabilities.
        tuned: where groups are known, the score of each fold: by classifiers that had not seen it, with the cut that is
            best on the others. None where only pairs are.
    """

    classifier: PairClassifier
    config: Config
    tuned: Tuned | None

    def save(self, folder: Path | str, *, overwrite: bool = False) -> None:
        """Write one folder for `kembar match --model`: the classifier and config.toml.

        Args:
            folder: where to.
            overwrite: replace an earlier one.

        Raises:
            FolderError: the folder is in the way or cannot be written.
        """
        with new_model(folder, self.config.with_model(HERE), str(self), overwrite=overwrite) as target:
            self.classifier.write(target)

    def __str__(self) -> str:
        card = self.classifier.card
        if "answers" in card:
            told = f"Learned from {card['answers']:,} answers about pairs, {card['true_answers']:,} of them true"
        else:
            told = f"Learned from {card['pairs']:,} pairs, {card['true_pairs']:,} of them true"
        told += f"; calibration error on held-out pairs {card['calibration_error']:.4f}"
        return told + (f"\n{self.tuned}" if self.tuned else "")
