"""The claims of arXiv 2605.15435, each with what is run for it and the rule by which it is judged.

protocol: what is run, at three sizes. evidence: running it, and what came of it. verdicts: rules of judgement. paper:
the nine claims. beyond: questions that the paper leaves open. parities: of newborns, run by run. pictures: that show a
claim. page: all of it as text and pictures. bill: what a size takes.
"""
