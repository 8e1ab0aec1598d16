"""What the gate's tests do, in words for those who read a verdict and do not know their names."""

from __future__ import annotations

# In the order in which they are told; a method names one or several of them.
_MEANINGS: tuple[tuple[str, str], ...] = (
    (
        "mean preference of judge",
        "Each pair of answers was judged in both orders; preferred in both counts 1, in one only 1/2.",
    ),
    (
        "mid-p",
        "The mid-p form counts only half of the chance of exactly what was seen: more power, no longer exact.",
    ),
    (
        "McNemar",
        "Only the examples that one of the two got right and the other wrong count. Were the two equally good, each "
        "of them would be a coin toss; the test asks how often so many would fall to the candidate by luck.",
    ),
    (
        "Tango score test",
        "It asks how often so large a difference would come by luck if the true one were just at the bar.",
    ),
    (
        "Tango score interval",
        "The interval holds every difference of two paired shares that the pairs seen do not rule out.",
    ),
    (
        "exact sign test",
        "Every difference was the same, so there is no spread to go by; only their direction is counted.",
    ),
    (
        "paired t,",
        "The candidate's score less the baseline's, example by example: its mean against its own spread.",
    ),
    (
        "Student's t",
        "The mean of the values against their own spread.",
    ),
    (
        "studentised bootstrap",
        "The examples are drawn anew thousands of times, with repetition, to see how far chance moves the mean.",
    ),
    (
        "sign-flip over items",
        "The sign of each example's gain is flipped at random, as if the two had been exchanged.",
    ),
    (
        "sign-flip (",
        "The sign of each example's difference is flipped at random, as if the two systems had been exchanged.",
    ),
    (
        "cluster sign-flip",
        "Examples of one cluster stand and fall together, so clusters are what is counted: the sign of each whole "
        "cluster is flipped at random, and the mean is held against the spread between clusters.",
    ),
    (
        "paired bootstrap and exchange",
        "The metric belongs to all answers together, so whole sets of them are drawn anew, and the two systems' "
        "answers to an example are exchanged at random, to see how far chance moves it.",
    ),
    (
        "stratified t",
        "The change per question, subject by subject with the benchmark's weights, against its spread.",
    ),
    (
        "training seeds",
        "Examples and training seeds are both taken as drawn by luck, and the spread of both is in the interval.",
    ),
    (
        "Clopper-Pearson",
        "The interval holds every true share under which a count like this one is not too rare; it is exact.",
    ),
    (
        "betting e-process",
        "It bets, example after example in random order, against the claim that there is no gain; once the winnings "
        "are too large for luck, it may stop early without raising the chance of error.",
    ),
    (
        "Holm",
        "Several baselines are several chances to be lucky, so each p-value is raised by as much.",
    ),
    (
        "those of the judged stack",
        "The server was asked test examples as they were judged. Greedy answers must be the same but for near ties, "
        "prompts must have as many tokens, and the answers must be as likely to the server as they were when judged.",
    ),
    (
        "Kullback-Leibler",
        "How far the candidate's next-token probabilities are from the base model's, in nats per token.",
    ),
    (
        "mean loss",
        "The mean surprise, in nats, at each token of the validation answers; less is better. No test is made.",
    ),
    (
        "next-token logits",
        "The candidate and the base model read the same prompts; equal numbers mean that the adapter does nothing.",
    ),
    (
        "more conservative",
        "Of several methods the least favourable one counts.",
    ),
    (
        "the larg",
        "Of several methods the one with the largest p-value counts.",
    ),
)


def describe_method(method: str) -> tuple[str, ...]:
    """Return what each test that a method names does, one plain sentence or two each."""
    return tuple(meaning for name, meaning in _MEANINGS if name in method)
