"""How long does augmentation take, against torchvision's transforms?"""
import torch
from measure import QUICK, Report, taking_turns
from torchvision.transforms import v2

from transfer_lessons.data import augment_batch

N, SIZE = (4, 32) if QUICK else (64, 112)


def main() -> None:
    report = Report("augmentation", __doc__)
    source = torch.Generator().manual_seed(0)
    images = torch.randint(256, (N, 3, SIZE * 5 // 4, SIZE * 5 // 4), dtype=torch.uint8)
    theirs = v2.Compose([
        v2.RandomRotation(10, interpolation=v2.InterpolationMode.BILINEAR),
        v2.RandomResizedCrop(SIZE, scale=(0.8, 1), ratio=(1, 1)), v2.RandomHorizontalFlip(),
        v2.ColorJitter(brightness=0.2, contrast=0.2), v2.ToDtype(torch.float32, scale=True)])
    times = taking_turns({
        "ours": lambda: augment_batch(images.float() / 255, source, SIZE),
        "torchvision v2, image by image": lambda: torch.stack([theirs(x) for x in images]),
        "torchvision v2, all images alike": lambda: theirs(images),
    }, rounds=15)
    each = {side: [1e3 * s / N for s in seconds] for side, seconds in times.items()}
    report.values(f"rotate, zoom, flip and light, to {SIZE} px, per image", each, "ms")
    report.ratio("ours / torchvision, image by image", each["ours"],
                 each["torchvision v2, image by image"])
    report.ratio("ours / torchvision, all images alike", each["ours"],
                 each["torchvision v2, all images alike"])
    report.write()


if __name__ == "__main__":
    main()
