"""Everything a lesson uses, in one import: `from transfer_lessons.all import *`."""
from torchvision.models import resnet18, resnet34, resnet50

from . import batch_size, best_epoch, fine_tuning, precompute, tta  # noqa: F401  they add methods
from .app import PredictApp
from .backbones import create_body, create_head, vision_model
from .cleaner import ImageCleaner
from .better import MixupLoader, mixup
from .copies import list_near_copies
from .comparison import compare, interval
from .core import default_device, describe_error, paired_comparison, wilson_interval
from .data import Normalize, augment_batch, square
from .datasets import flowers, icons, pets, solar
from .explorers import Explorer
from .export import load_predictor
from .figures import show_images
from .freezing import (
    freeze, freeze_table, freeze_to, layer_groups, n_parameters, spread_lrs, train_mode, unfreeze)
from .grad_cam import grad_cam, plot_grad_cam
from .image_explorers import AugmentExplorer, ConfusionExplorer
from .image_files import get_image_files, load_image, scan
from .interpretation import ClassificationInterpretation
from .learner import Learner, accuracy, cnn_learner, error_rate, vision_learner
from .live import LossCurves
from .loaders import ImageDataLoaders
from .losses import binary_cross_entropy, cross_entropy, log_softmax, nll, sigmoid, softmax
from .lr_finder import minimum, slide, steep, valley
from .lr_study import LRStudyExplorer
from .marks import Marks
from .optim import adamw
from .plot_explorers import CrossEntropyExplorer, FreezeExplorer, OneCycleExplorer
from .schedules import (
    cosine, exponential, linear, one_cycle, one_cycle_momentum, plot_schedule, sgdr, sgdr_epochs)
from .scrubber import LRScrubber
from .sweep import sweep_lrs
from .threshold_explorer import ThresholdExplorer
from .trust import fit_temperature

__all__ = [
    "AugmentExplorer", "ClassificationInterpretation", "ConfusionExplorer", "CrossEntropyExplorer",
    "Explorer", "FreezeExplorer", "ImageCleaner", "ImageDataLoaders", "LRScrubber",
    "LRStudyExplorer", "Learner", "LossCurves", "Marks", "MixupLoader", "Normalize",
    "OneCycleExplorer", "PredictApp", "ThresholdExplorer", "accuracy", "adamw", "augment_batch",
    "binary_cross_entropy", "cnn_learner", "compare", "cosine", "create_body", "create_head",
    "cross_entropy", "default_device", "describe_error", "error_rate", "exponential",
    "fit_temperature", "flowers", "freeze", "freeze_table", "freeze_to", "get_image_files",
    "grad_cam", "icons", "interval", "layer_groups", "linear", "list_near_copies", "load_image",
    "load_predictor", "log_softmax", "minimum", "mixup", "n_parameters", "nll", "one_cycle",
    "one_cycle_momentum", "paired_comparison", "pets", "plot_grad_cam", "plot_schedule",
    "resnet18", "resnet34", "resnet50", "scan", "sgdr", "sgdr_epochs", "show_images", "sigmoid",
    "slide", "softmax", "solar", "spread_lrs", "square", "steep", "sweep_lrs", "train_mode",
    "unfreeze", "valley", "vision_learner", "vision_model", "wilson_interval",
]
