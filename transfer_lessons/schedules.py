# draft, replaced by nbs/06's export
import math
def exponential(p, a, b): return a*(b/a)**p
def cos(p,a,b): return b+(a-b)/2*(1+math.cos(math.pi*p))
def one_cycle(progress, lr_max=1., *, div=25., div_final=1e5, pct_start=.25, steps=None):
    t=progress*steps; up=max(pct_start*steps-1,1e-9)
    return cos(t/up, lr_max/div, lr_max) if t<=up else cos((t-up)/(steps-1-up), lr_max, lr_max/div_final)
def one_cycle_momentum(progress, moms=(.95,.85,.95), *, pct_start=.25, steps=None):
    t=progress*steps; up=max(pct_start*steps-1,1e-9)
    return cos(t/up, moms[0], moms[1]) if t<=up else cos((t-up)/(steps-1-up), moms[1], moms[2])
def sgdr(p,lr_max=1.,*,n_cycles=1,cycle_mult=1,lr_min=0.): return cos((p*n_cycles)%1,lr_max,lr_min)
def sgdr_epochs(n,l=1,m=1): return n*l
