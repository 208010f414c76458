"""What each value of the design report means: the words that stand in the report itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

DEFINITIONS: Final[Mapping[str, str]] = {
    "correct_guess_share": (
        "Expected share guessed right over the planned participants of one stratum, by someone who knows "
        "every past arm of the stratum and the design (the set of block sizes), but not where blocks end. "
        "convergence guesses the arm that was given less often so far in the stratum, for its share of the "
        "ratio, and counts a tie as evenly split; bayes guesses whatever is likeliest. Chance alone: the "
        "largest share of the ratio, one half in 1:1. Sizes are equally likely for each block; the last "
        "block is cut at the planned number."
    ),
    "certain_share": (
        "Expected share of the planned participants of one stratum whose arm is known for certain "
        "beforehand: bayes to someone with the same knowledge, known_borders to someone who knows as well "
        "where blocks end."
    ),
    "long_run_correct_guess_share": (
        "The share that convergence guesses right in an endless stratum: correct guesses per block over "
        "slots per block, sizes equally likely. Only for permuted blocks in 1:1."
    ),
    "guess_by_slot": (
        "For participant n = 1 … planned of one stratum: the chance that bayes guesses right (right), and "
        "that the arm is certain to bayes (certain)."
    ),
    "expected_max_imbalance": (
        "Expected largest absolute difference between the arms along one stratum's path, over its first "
        "planned participants. Difference: A - B in 1:1; in n:m, m·A - n·B in lowest terms; with three arms "
        "or more, of the first two."
    ),
    "max_imbalance_pmf": "Chance of each largest absolute difference along one stratum's path (as above).",
    "expected_abs_imbalance": (
        "Expected absolute difference between the arms after n participants of one stratum, n = 1 … planned."
    ),
    "run_lengths": (
        "Longest run of one arm among the planned participants of one stratum: longest_possible on any list "
        "of the design, expected_longest, and the chance of each length (longest_pmf)."
    ),
    "total_split": (
        "The difference A - B over the whole trial, the planned participants falling into the strata at "
        "random by their prevalences (equally likely unless given): p_equal is the chance that the arms end "
        "exactly in the ratio, sd the standard deviation of the difference, pmf its distribution, "
        "p_at_least the chance that it is so large or larger, largest_possible the largest that any lists "
        "of the design can give."
    ),
    "worst_case_stock_per_arm": (
        "The most that one arm can ask for, on any list of the design, however participants fall into the "
        "strata; certain bounds, not chances. participants: of the planned ones, in one arm; bags: each of "
        "them given every infusion; bags_with_remakes: with the remake allowance, rounded up. "
        "in_any_k_of_one_stratum and in_any_k_of_all_strata: the most of one arm among any k = 1, 2, … "
        "participants randomized one after the other."
    ),
    "emergency_list": (
        "What reserving a list at each site costs. Each is a stratum of its own, with slots that stay "
        "unused if no emergency comes (slots_reserved, at least: the last block is whole) and one more "
        "block that may stay incomplete. by_used: the split of the whole trial if so many of the planned "
        "participants are randomized from these lists, each site equally likely. largest_possible and "
        "worst_case_stock_per_arm: the worst cases then."
    ),
    "alternatives": (
        "The trial's design first, then others, by the same definitions and for the same trial. "
        "p_equal_stratum and sd_stratum: of one stratum after all planned participants; p_equal_trial and "
        "sd_trial: of the whole trial. participants_per_arm: worst case. offered: whether this program "
        "makes such lists; remark: why not."
    ),
    "method": (
        "exact: by recursion or enumeration, to about 12 digits. simulated: at least one value is, from "
        "samples drawn with the seed that is given; standard_error names each such value."
    ),
}

REVEAL_DEFINITIONS: Final[Mapping[str, str]] = {
    "knowledge": (
        "Of somebody who knows the arms that were revealed in the stratum so far, at which slots, and the "
        "design; not where blocks end. Slots count from 0. The other slots are all of the stratum's list "
        "that were not revealed by then."
    ),
    "expected_correct_before": (
        "Expected number of the other slots guessed right by the likeliest arm, before the reveal; "
        "expected_correct_after: after it. Where an arm is not given, the expectation is over the arms."
    ),
    "rise": (
        "expected_correct_after - expected_correct_before. rise_in_use: its part in slots that were used "
        "at the time of the reveal; rise_to_come: in slots that were not (null where used is not known)."
    ),
    "largest_posterior": (
        "Expected largest chance with which any one of the other slots is guessed right after the reveal; "
        "largest_posterior_possible: the largest it can be, whatever the arms."
    ),
    "became_certain": (
        "Expected number of the other slots that became certain by the reveal; certain_after: that are."
    ),
    "slots": "Each other slot that changed, with the chance that it is guessed right before and after.",
    "method": (
        "exact: by a forward and a backward recursion over where blocks may lie, and over every arm that is "
        "not given. simulated: a stratum has so many arms that are not given that they were drawn, and "
        "standard_error is that of rise."
    ),
}
