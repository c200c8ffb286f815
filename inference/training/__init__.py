"""How the embedded model is made: wordings -> dialogues -> tokenizer -> training -> evaluation.

Serving knows nothing of this package, and it nothing of serving: they share only the folder `inference/model`.
"""
