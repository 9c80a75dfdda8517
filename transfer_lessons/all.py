"""Everything a lesson uses, in one import: `from transfer_lessons.all import *`."""
from torchvision.models import resnet18, resnet34, resnet50

from .backbones import *
from .data import *
from .fine_tuning import *
from .freezing import *
from .interpretation import *
from .learner import *
from .losses import *
from .lr_finder import *
from .precompute import *
from .schedules import *
from .sweep import *
from .widgets import *
