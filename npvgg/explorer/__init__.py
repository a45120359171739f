"""What is behind an answer: the products of one number, the inputs that decided, the channels it rests on.

    explain     one number of a layer → the window, the weights, the products and their sum
    why         a class → what the last dense layer's inputs give to its logit
    ablate      the answer where channels are taken away
    attribute   a class or a unit → how much each pixel has to do with it
"""
from npvgg.explorer.ablation import ablate
from npvgg.explorer.attributions import METHODS, Attribution, attribute
from npvgg.explorer.decision import Decision, why
from npvgg.explorer.explanation import Box, Explanation, Following, Term, explain
from npvgg.explorer.targets import Target, target_of

__all__ = ["METHODS", "Attribution", "Box", "Decision", "Explanation", "Following", "Target", "Term", "ablate", "attribute",
           "explain", "target_of", "why"]
