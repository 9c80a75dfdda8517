# draft, replaced by nbs/03's export
import torch.nn.functional as F
def softmax(x): return F.softmax(x, -1)
def cross_entropy(logits, targets, *, weight=None, label_smoothing=0.0, ignore_index=-100, reduction="mean"):
    return F.cross_entropy(logits, targets, reduction=reduction)
