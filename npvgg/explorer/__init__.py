"""What is behind an answer: the products of one number, the inputs that decided, the channels it rests on.

    explain     one number of a layer → the window, the weights, the products and their sum
    why         a class → what the last dense layer's inputs give to its logit
    ablate      the answer where channels are taken away
    attribute   a class or a unit → how much each pixel has to do with it
    sanity      whether such a map changes where the network is drawn at random
    patches     pictures → those that a channel answers to most, and where
    nearest     a picture → those whose features are most alike
    maximise    a class or a unit → the picture that it answers to most
    deep_dream  a photograph → more of what a layer sees in it
"""
from npvgg.explorer.ablation import ablate
from npvgg.explorer.attributions import METHODS, Attribution, attribute
from npvgg.explorer.collection import Neighbour, Patch, nearest, patches
from npvgg.explorer.decision import Decision, why
from npvgg.explorer.dreams import Dream, deep_dream, maximise
from npvgg.explorer.explanation import Box, Explanation, Following, Term, explain
from npvgg.explorer.sanity import Agreement, randomised, sanity
from npvgg.explorer.targets import Target, target_of

__all__ = ["METHODS", "Agreement", "Attribution", "Box", "Decision", "Dream", "Explanation", "Following", "Neighbour", "Patch",
           "Target", "Term", "ablate", "attribute", "deep_dream", "explain", "maximise", "nearest", "patches", "randomised",
           "sanity", "target_of", "why"]
