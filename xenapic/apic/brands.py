"""What processors are called in the trade, and which rows those names mean. Pure data.

`READ` has names that real processors were read to have, by their CPUID signature: register dumps of InstLatx64
(github.com/InstLatx64/InstLatx64 at 087af2c) and libcpuid (github.com/anrieff/libcpuid at 2d1e019, tests/),
and for the Xeon Silver 4510 /proc/cpuinfo and CPUID in public reports.
`SERIES` says which generations a number can belong to, if the name itself was not read: Intel's and AMD's schemes
of processor numbers, and the products that Intel names for each signature in its microcode release notes
(github.com/intel/Intel-Linux-Processor-Microcode-Data-Files at f910b0a, releasenote.md). A series of several rows
leaves open which of them a processor is.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

__all__ = ["NO_ROW", "READ", "SERIES", "Series", "plain_name", "signature_read"]

READ: dict[str, str] = {
    "06-0f-06": "Core2 6420, Core2 T5600, Core2 X6800",
    "06-17-06": "Core2 Duo P8400, Core2 Duo T8100, Core2 Extreme X9650, Xeon E5462",
    "06-17-07": "Core2 Quad Q9450",
    "06-17-0a": "Celeron 900, Celeron E3400",
    "06-1a-04": "Core i7 920",
    "06-1d-01": "Xeon E7450",
    "06-1e-05": "Core Q 820, Core i5 750, Core i7 860",
    "06-25-02": "Core i5 650",
    "06-25-05": "Core i5 M 520, Core i7 M 640, Pentium P6100",
    "06-26-01": "Atom E680",
    "06-2a-07": "Celeron G540, Core i5-2400, Core i7-2600, Core i7-2600K",
    "06-2c-01": "Xeon X5667",
    "06-2c-02": "Core i7 X 980, Core i7 X 990, Xeon W3670",
    "06-2d-06": "Core i7-3960X",
    "06-2d-07": "Core i7-3930K",
    "06-37-03": "Atom Z3740, Celeron J1900, Celeron N2820",
    "06-37-08": "Atom Z3745, Celeron N2930",
    "06-37-09": "Atom E3827",
    "06-3a-09": "Celeron G1610, Core i3-3220T, Core i5-3570K, Core i7-3770K, Xeon E3-1230 V2",
    "06-3c-03": "Core i3-4130, Core i7-4710MQ, Core i7-4765T, Core i7-4770, Xeon E3-1245 v3, Xeon E3-1265L v3",
    "06-3d-04": "5Y70, Core i5-5250U, Core i7-5500U",
    "06-3e-04": "Core i7-4930K",
    "06-3f-02": (
        "Core i7-5820K, Xeon E5-2630 v3, Xeon E5-2660 v3, Xeon E5-2696 v3, Xeon E5-2699 v3, Xeon E5-4669 v3"
    ),
    "06-45-01": "Core i5-4258U, Core i7-4500U",
    "06-46-01": "Core i7-4750HQ, Core i7-4770R",
    "06-47-01": "Core i7-5775C",
    "06-4c-03": "Atom x7-Z8700, Celeron N3050, Celeron N3150",
    "06-4d-08": "Atom C2750, Atom C2758",
    "06-4e-03": "Core i7-6500U, Core m3-6Y30, Pentium 4405U",
    "06-4f-01": (
        "Core i7-6800K, Core i7-6850K, Core i7-6900K, Core i7-6950X, Xeon E5-2620 v4, Xeon E5-2696 "
        "v4, Xeon E5-2697 v4"
    ),
    "06-55-04": (
        "Core i7-7800X, Core i9-7900X, Core i9-7980XE, Core i9-9820X, Montage Jintide C2460 1, Xeon "
        "Bronze 3104, Xeon D-2183IT, Xeon Gold 6130, Xeon Gold 6154, Xeon Platinum 8160, Xeon "
        "Platinum 8180, Xeon Silver 4108, Xeon W-2155, Xeon W-3175X"
    ),
    "06-55-06": "Xeon Gold 5218",
    "06-55-07": (
        "Core i9-10940X, Core i9-10980XE, Xeon Gold 5215, Xeon Gold 6212U, Xeon Gold 6226R, Xeon "
        "Platinum 8280, Xeon Silver 4214, Xeon W-3275"
    ),
    "06-56-02": "Xeon D-1540",
    "06-56-04": "Xeon D-1559",
    "06-5c-09": "Celeron J3455, Celeron N3450, Pentium N4200",
    "06-5c-0a": "Atom E3930",
    "06-5e-03": "Core i3-6100, Core i5-6400T, Core i5-6600K, Core i7-6700K, Pentium G4400",
    "06-5f-01": "Atom C3958",
    "06-66-03": "Core i3-8121U",
    "06-6a-06": "Xeon Gold 6330, Xeon Gold 6336Y, Xeon Platinum 8351N",
    "06-7a-01": "Celeron J4105, Celeron N4100",
    "06-7a-08": "Pentium Silver J5040, Pentium Silver N5030",
    "06-7e-05": "Core i3-1005G1, Core i5-1035G4, Core i7-1065G7",
    "06-8a-01": "Core i5-L16G7",
    "06-8c-01": "Celeron 6305, Core i5-1135G7, Core i7-11375H, Core i7-1165G7, Pentium Gold 7505",
    "06-8d-01": "Core i7-11800H",
    "06-8e-09": "Core i5-7200U, Core i7-7500U, Core m3-7Y30, Core m3-8100Y, Pentium 4415U, Pentium 4425Y",
    "06-8e-0a": "Core i5-8250U, Core i5-8350U",
    "06-8e-0b": "Core i7-8565U, Pentium 5405U",
    "06-8e-0c": "Core i3-10110U, Core i5-10210U, Core i5-8265U, Core i7-10610U",
    "06-8f-08": "Xeon Silver 4510, Xeon w7-2475X, Xeon w9-3475X",
    "06-96-01": "Atom x6425RE, Celeron J6412",
    "06-97-02": "Core i5-12400, Core i7-12800HX, Core i9-12900K",
    "06-97-05": "Core i3-12100, Core i5-12500, Core i5-12500T, Pentium Gold G7400",
    "06-9a-02": "Core i7-12700H, Core i9-12900HK",
    "06-9a-03": "Core i9-12900H",
    "06-9a-04": "Core i3-1220P, Pentium Gold 8505",
    "06-9c-00": "Celeron N4505, Celeron N5095A, Celeron N5100, Pentium Silver N6005",
    "06-9e-09": "Core i3-7100, Core i5-7600K, Core i7-7700K, Core i7-7740X, Core i7-8705G, Pentium G4600",
    "06-9e-0a": "Core i7-8086K, Core i7-8700K, Core i7-8750H, Core i7-9750H, Pentium Gold G5400, Xeon E-2226G",
    "06-9e-0b": "Core i3-8350K",
    "06-9e-0c": "Core i5-9600K, Core i9-9900K",
    "06-9e-0d": "CC150",
    "06-a5-02": "Core i7-10750H",
    "06-a5-05": "Core i5-10600K, Core i7-10700K, Core i9-10900K",
    "06-a6-00": "Core i7-10710U",
    "06-a7-01": "Core i7-11700K, Core i7-11700KF, Core i9-11900K, Xeon E-2356G",
    "06-aa-04": "Core Ultra 5 125H, Core Ultra 7 155H, Core Ultra 7 155U",
    "06-ad-01": "Xeon 658X",
    "06-b5-00": "Core Ultra 7 265U",
    "06-b7-01": (
        "Core i5-13600K, Core i5-14600K, Core i7-13700K, Core i7-14700K, Core i9-13900K, Core "
        "i9-13900KF, Core i9-14900K, Xeon 6315P"
    ),
    "06-b7-04": "Core 7 251TE",
    "06-ba-02": "Core i5-1350P, Core i7-1370P, Core i9-13900H",
    "06-ba-03": "Core i7-1365U",
    "06-bd-01": "Core Ultra 9 288V",
    "06-be-00": "Core 3 N355, Core i3-N305, N95",
    "06-bf-02": "Core i5-13500",
    "06-c5-02": "Core Ultra 9 285H",
    "06-c6-02": "Core Ultra 5 245K, Core Ultra 7 265K, Core Ultra 7 270K Plus, Core Ultra 9 275HX",
    "06-cf-02": "Xeon Gold 5520+, Xeon Platinum 8570, Xeon Silver 4514Y",
    "06-d5-01": "Core 5 320, Core 7 350",
    "06-d7-00": "Core 9 273PQE",
    "0f-41-02": "Opteron 2210 HE, Opteron 8220 SE",
    "0f-43-03": "Athlon 64 X2 Dual Core 6400+",
    "0f-6b-01": "Athlon 64 X2 Dual Core 4000+",
    "0f-6b-02": "Athlon 64 X2 Dual Core 5200+",
    "0f-7f-01": "Sempron LE-1100",
    "10-02-01": "Opteron 2347 HE",
    "10-02-02": "Phenom 9500",
    "10-02-03": "Athlon 7750, Phenom 9850",
    "10-02-0a": "Opteron 2344 HE",
    "10-04-02": (
        "Opteron 2378, Phenom II 42 TWKR Black Edition, Phenom II X2 550, Phenom II X3 710, Phenom II X4 940"
    ),
    "10-04-03": "Phenom II X2 B55",
    "10-05-02": "Athlon II X3 425, Athlon X4 620",
    "10-06-02": "Athlon II X2 245, Athlon X2 250, Sempron 140",
    "10-06-03": "Athlon II P320, Athlon II X2 280",
    "10-08-00": "Opteron 2431",
    "10-08-01": "Opteron 4176 HE",
    "10-09-01": "Opteron 6168",
    "10-0a-00": "Phenom II X6 1055T",
    "12-01-00": "A8-3850 APU, E2-3000M APU",
    "14-01-00": "C-50, E-350, G-T56N",
    "15-01-02": "FX-6100, FX-8150, Opteron 6238, Opteron 6274",
    "15-02-00": "FX-8350, FX-9590, Opteron 6344, Opteron 6376, Opteron 6380",
    "15-10-01": "A10-4600M APU, A10-5800K APU",
    "15-13-01": "A10-6800K APU",
    "15-30-01": "A10 PRO-7350B R6, A10-7850K, RX-427BB",
    "15-38-01": "A10-7890K, A10-8750, A8-7670K, Athlon X4 870K Quad Core",
    "15-60-01": "A8-7680, FX-8800P, Opteron X3216",
    "15-65-01": "A12-9700P, A12-9800, PRO A12-8870 R7",
    "15-70-00": "A9-9410",
    "16-00-01": "A4-5000 APU, Athlon 5350 APU, Athlon 5370 APU",
    "16-26-01": "A9-9820, RX-8120",
    "16-30-01": "A6-6310 APU, A8-6410 APU, GX-212JC SOC, GX-218GL SOC",
    "17-01-01": (
        "Ryzen 5 1500X, Ryzen 7 1700X, Ryzen 7 1800X, Ryzen Threadripper 1920X, Ryzen Threadripper 1950X"
    ),
    "17-01-02": "EPYC 7401P, EPYC 7551P",
    "17-08-02": "Ryzen 5 2600X, Ryzen 7 2700X, Ryzen Threadripper 2950X, Ryzen Threadripper 2990WX",
    "17-11-00": "Ryzen 3 2200G, Ryzen 5 2400G, Ryzen 5 2500U, Ryzen Embedded V1605B",
    "17-18-01": "Athlon PRO 300GE, Ryzen 5 3500U, Ryzen 5 3550H",
    "17-20-01": "3020e",
    "17-31-00": (
        "EPYC 7402P, EPYC 7742, Ryzen Threadripper 3960X, Ryzen Threadripper 3970X, Ryzen "
        "Threadripper PRO 3955WX, Ryzen Threadripper PRO 3975WX"
    ),
    "17-47-00": "4700S",
    "17-60-01": "Ryzen 5 4500U, Ryzen 7 4800H",
    "17-68-01": "Ryzen 5 5500U, Ryzen 7 5700U",
    "17-71-00": (
        "Ryzen 3 3100, Ryzen 5 3600, Ryzen 5 3600X, Ryzen 5 3600XT, Ryzen 7 3700X, Ryzen 7 3800XT, "
        "Ryzen 9 3900X, Ryzen 9 3900XT, Ryzen 9 3950X, Ryzen 9 PRO 3900"
    ),
    "17-84-00": "4800S",
    "17-90-02": "Custom APU 0405",
    "17-91-00": "Custom APU 0932",
    "17-a0-00": "Ryzen 3 7320U",
    "18-00-01": "Hygon C86 7185 32-core",
    "18-00-02": "Hygon C86 3185 8-core, Hygon C86 3188 8-core",
    "18-01-01": "Hygon C86 3250 8-core",
    "18-02-02": "Hygon C86 3350 8-core",
    "19-01-01": "EPYC 7713, EPYC 7763",
    "19-11-01": "EPYC 9124, EPYC 9654",
    "19-18-01": "Ryzen Threadripper 7960X, Ryzen Threadripper PRO 7975WX, Ryzen Threadripper PRO 7995WX",
    "19-21-00": "Ryzen 9 5900X, Ryzen 9 5950X",
    "19-21-02": "Ryzen 5 5600X3D, Ryzen 7 5700X3D, Ryzen 7 5800X, Ryzen 7 5800X3D",
    "19-44-01": "Ryzen 7 6800HS, Ryzen 7 7735HS, Ryzen 9 6900HX",
    "19-50-00": "Ryzen 7 5800H, Ryzen 7 5800HS Creator Edition, Ryzen 7 5825U, Ryzen 9 5900HS",
    "19-61-02": (
        "EPYC 4124P, Ryzen 5 7600X, Ryzen 7 7700X, Ryzen 7 7800X3D, Ryzen 9 7900X, Ryzen 9 7900X3D, "
        "Ryzen 9 7950X, Ryzen 9 7950X3D"
    ),
    "19-74-01": "Ryzen 9 7940H",
    "19-75-02": "Ryzen 7 8700G, Ryzen 7 8845HS",
    "19-78-00": "Ryzen Z1",
    "19-7c-00": "Ryzen 5 PRO 215",
    "19-a0-02": "EPYC 9754",
    "1a-02-01": "EPYC 9655",
    "1a-08-01": "Ryzen Threadripper PRO 9985WX",
    "1a-11-00": "EPYC 9965",
    "1a-24-00": "Ryzen AI 7 PRO 360, Ryzen AI 9 465, Ryzen AI 9 HX 370",
    "1a-44-00": "Ryzen 7 9700X, Ryzen 7 9800X3D, Ryzen 9 9950X, Ryzen 9 9950X3D",
    "1a-60-00": "Ryzen AI 7 450, Ryzen AI 7 PRO 350",
    "1a-68-00": "Ryzen AI 5 430",
    "1a-70-00": "Ryzen AI MAX+ 395",
}
"""By signature: the names, as CPUID has them, without makers, clock rates and numbers of cores."""


class Series(NamedTuple):
    """A series of processor numbers."""

    pattern: str
    """What `plain_name` makes of its names."""
    title: str
    rows: tuple[str, ...]


def _series(title: str, pattern: str, *rows: str) -> Series:
    return Series(pattern, title, rows)


SERIES = (
    _series("Core i3 to i7, first generation", r"i[357][mqx]?[3-9]\d\d[a-z]{0,2}", "nehalem", "westmere"),
    _series("Core i7-3800 and 3900 series", r"i73[89]\d\d[a-z]*", "sandy-bridge-ep", "ivy-bridge-client"),
    _series("Core i7-4800 and 4900 X series", r"i74(820k|930k|960x)", "ivy-bridge-e"),
    _series("Core i7-5800 and 5900 X series", r"i75(820k|930k|960x)", "haswell-ep"),
    _series("Core i7-6800 and 6900 X series", r"i76(800k|850k|900k|950x)", "broadwell-ep"),
    _series("Core X series, 7000 and 9000", r"i[79](7[89]\d\d|9[89]\d\d)xe?", "skylake-sp"),
    _series("Core X series, 10000", r"i910[09]\d0xe?", "cascade-lake-sp"),
    _series("Core 2nd generation", r"i[357]2\d{3}[a-z]{0,2}", "sandy-bridge-client"),
    _series("Core 3rd generation", r"i[357]3\d{3}[a-z]{0,2}", "ivy-bridge-client"),
    _series("Core 4th generation", r"i[357]4\d{3}[a-z]{0,2}", "haswell-client"),
    _series("Core 5th generation", r"(i[357]5\d{3}[a-z]{0,2}|m?5y\d\d)", "broadwell-client"),
    _series("Core 6th generation", r"(i[357]6\d{3}[a-z]{0,2}|m[357]?6y\d\d)", "skylake-client"),
    _series("Core 7th generation, U and Y", r"(i[357]7\d{3}u|i[57]7y\d\d|m37y\d\d)", "kaby-lake-u"),
    _series("Core 7th generation", r"i[3579]7\d{3}[a-tv-z]{0,2}", "coffee-lake"),
    _series(
        "Core 8th generation, U",
        r"i[357]8\d{3}u",
        "kaby-lake-r",
        "whiskey-lake",
        "comet-lake-u",
    ),
    _series("Core 8th generation, Y", r"(i[57]8\d{3}y|m38\d{3}y)", "kaby-lake-u"),
    _series("Core 8th and 9th generation", r"i[3579][89]\d{3}[a-tv-z]{0,2}", "coffee-lake"),
    _series("Core 10th generation, G", r"i[357]10\d\dn?g\d", "ice-lake-client"),
    _series("Core 10th generation, U and Y", r"i[357]10\d{3}[uy]", "comet-lake-u"),
    _series("Core 10th generation, H", r"(i[579]10\d{3}hk?|w10\d{3}m)", "comet-lake-h"),
    _series(
        "Core 10th generation, desktop with ten cores on the die",
        r"(i910(850|900)[a-z]*|i710700[a-z]*|i510600kf?)",
        "comet-lake-s",
    ),
    _series(
        "Core 11th generation, mobile",
        r"(i[3579]11\d\dg\d[a-z]*|i[3579]11\d{3}(hk?|he|b)|w11\d{3}m[a-z]*)",
        "tiger-lake",
    ),
    _series(
        "Core 11th generation, desktop", r"(i[579]11\d{3}(kf?|f|t)?|e23\d\dg?|w13\d\d[a-z]*)", "rocket-lake"
    ),
    _series("Core i3-N300 series", r"(i3n3\d\d|3n3\d\d|core3n3\d\d)", "alder-lake-n"),
    _series("Core 12th generation", r"i[3579]12\d{2,3}[a-z]{0,3}", "alder-lake", "raptor-lake"),
    _series(
        "Core 13th and 14th generation", r"(i[3579]1[34]\d{2,3}[a-z]{0,3}|core[357]1\d0u)", "raptor-lake"
    ),
    _series("Core Ultra, series 1", r"ultra[579]1\d\d[uh]l?", "meteor-lake"),
    _series("Core Ultra 200V", r"ultra[579]2\d\dv", "lunar-lake"),
    _series("Core Ultra 200U", r"ultra[579]2\d\du", "arrow-lake-u"),
    _series("Core Ultra 200H", r"ultra[579]2\d\dh", "arrow-lake-h"),
    _series("Core Ultra 200S and 200HX", r"ultra[3579]2\d\d(kf?|kplus|f|t|hx)?", "arrow-lake-s"),
    _series("Atom E3800 series", r"e38\d\d", "bay-trail"),
    _series(
        "Bay Trail",
        r"(celeronj1[789]\d\d|(celeron)?n28\d\d|n29\d\d|celeronn29\d\d|pentium(j2[89]|n35)\d\d)",
        "bay-trail",
    ),
    _series("Braswell", r"(celeron[nj]30[0-6]\d|celeron[nj]31[56]\d|pentium[nj]37[01]\d)", "braswell"),
    _series("Atom C2000 series", r"(atom)?c2\d{3}", "avoton"),
    _series("Atom C3000 series", r"(atom)?c3\d{3}[a-z]?", "denverton"),
    _series(
        "Apollo Lake",
        r"(celeron[nj]3[34]5\d|pentiumn4200|pentiumj4205|(atom)?(x[57])?e39\d\d)",
        "apollo-lake",
    ),
    _series("Gemini Lake", r"(celeron[nj]4[01][02]\d|pentium(silver)?[nj]50[034]\d)", "gemini-lake"),
    _series("Jasper Lake", r"(celeronn(45\d\d|5095a?|510\d)|pentium(silver)?n600\d)", "jasper-lake"),
    _series(
        "Elkhart Lake",
        r"(celeron(j641[23]|n621[01])|pentium(j642[56]|n6415)|(atom)?x6\d{3}[a-z]*)",
        "elkhart-lake",
    ),
    _series("Processor N-series", r"n(50|95|97|100|150|200|250)", "alder-lake-n"),
    _series("Atom P5900 series", r"(atom)?p59\d\db?", "snow-ridge"),
    _series("Xeon E3", r"e312\d\dl?", "sandy-bridge-client"),
    _series("Xeon E3 v2", r"e31\d{3}[a-z]*v2", "ivy-bridge-client"),
    _series("Xeon E3 v3", r"e31\d{3}[a-z]*v3", "haswell-client"),
    _series("Xeon E3 v4", r"e31\d{3}[a-z]*v4", "broadwell-client"),
    _series("Xeon E3 v5", r"e31\d{3}[a-z]*v5", "skylake-client"),
    _series("Xeon E3 v6", r"e31\d{3}[a-z]*v6", "coffee-lake"),
    _series("Xeon E-2100 and E-2200", r"e2[12]\d\d[a-z]{0,2}", "coffee-lake"),
    _series("Xeon E-2400 and 6300P", r"(e24\d\dg?|63\d\dp)", "raptor-lake"),
    _series("Xeon E5", r"e5[1246][46]\d\d[a-z]?", "sandy-bridge-ep"),
    _series("Xeon E5 and E7 v2", r"e[57]\d{4}[a-z]{0,2}v2", "ivy-bridge-ep"),
    _series("Xeon E5 and E7 v3", r"e[57]\d{4}[a-z]{0,2}v3", "haswell-ep"),
    _series("Xeon E5 and E7 v4", r"e[57]\d{4}[a-z]{0,2}v4", "broadwell-ep"),
    _series("Xeon D-1500", r"d15\d\dn?", "broadwell-ep"),
    _series("Xeon D-2100", r"d21\d\d[a-z]*", "skylake-sp"),
    _series("Xeon W-2100 and W-3100", r"w(21|31)\d\d[a-z]?", "skylake-sp"),
    _series("Xeon W-2200 and W-3200", r"w(22|32)\d\d[a-z]?", "cascade-lake-sp"),
    _series("Xeon W-3300", r"w33\d\d[a-z]?", "ice-lake-sp"),
    _series("Xeon w3 to w9", r"w[3579][23]4\d\dx?", "sapphire-rapids-sp"),
    _series("Xeon Scalable", r"(platinum|gold|silver|bronze)\d1\d\d[a-z]*", "skylake-sp"),
    _series("Xeon Scalable 2nd generation", r"(platinum|gold|silver|bronze)\d2\d\d[a-z]*", "cascade-lake-sp"),
    _series("Xeon Scalable 3rd generation", r"(platinum|gold|silver)\d3\d\d[a-gi-z]?\+?", "ice-lake-sp"),
    _series(
        "Xeon Scalable 4th generation",
        r"((platinum|gold|silver|bronze)\d4\d\d[a-z]*\+?|max94\d\d)",
        "sapphire-rapids-sp",
    ),
    _series(
        "Xeon Scalable 5th generation, which was made from both dies",
        r"(platinum|gold|silver|bronze)\d5\d\d[a-z]*\+?",
        "sapphire-rapids-sp",
        "emerald-rapids-sp",
    ),
    _series("Xeon 6 with P-cores", r"6(5|7|9)\d\dp", "granite-rapids"),
    _series("EPYC 7001 and 3000", r"epyc(7\d{2}1|3\d{2}1)p?", "zen1"),
    _series("EPYC 7002", r"epyc7[\df][\d][2]p?|epyc7[fh]\d2", "zen2"),
    _series("EPYC 7003", r"epyc7[\df]?\d{1,2}3(p|x)?|epyc7\df3", "zen3-epyc"),
    _series("EPYC 9004, 8004 and 4004", r"epyc[984]\d{2}4[a-z]*", "zen4"),
    _series("EPYC 9005", r"epyc9\d{2}5[a-z]*", "zen5-epyc"),
    _series("EPYC 4005", r"epyc4\d{2}5[a-z]*", "granite-ridge"),
    _series("Ryzen 1000", r"ryzen[3579](pro)?1\d{3}x?", "zen1"),
    _series("Threadripper 1900", r"ryzenthreadripper19\d\dx", "zen1"),
    _series("Ryzen 2000", r"ryzen[3579](pro)?2\d{3}[xe]?", "zen-plus"),
    _series("Threadripper 2900", r"ryzenthreadripper29\d\dw?x", "zen-plus"),
    _series("Ryzen 2000 and 3000 with graphics", r"ryzen[3579](pro)?[23]\d{3}(ge?|u|h)", "raven-ridge"),
    _series("Ryzen 3000", r"ryzen[3579](pro)?3\d{3}(xt?)?", "zen2"),
    _series("Threadripper 3900", r"ryzenthreadripper(pro)?39\d\dw?x", "zen2"),
    _series("Ryzen 4000", r"ryzen[3579](pro)?4\d{3}(ge?|u|hs?)?", "renoir"),
    _series("Ryzen 5000 U", r"ryzen[3579](pro)?5\d{3}[uc]", "renoir", "zen3-ryzen"),
    _series("Ryzen 5000", r"ryzen[3579](pro)?5\d{3}(x|xt|x3d|ge?|h|hs|hx)?", "zen3-ryzen"),
    _series("Ryzen 6000 and 7035", r"ryzen[3579](pro)?(6\d{3}|7\d35)(u|h|hs|hx)", "rembrandt"),
    _series("Ryzen 7020", r"(ryzen[35]|athlon(silver|gold)?)7\d20[uc]", "renoir"),
    _series("Ryzen 7030", r"ryzen[357](pro)?7\d30(u|h|hs)", "zen3-ryzen"),
    _series("Ryzen 7040 and 8000", r"ryzen[3579](pro)?(7\d40(u|h|hs)|8\d{3}(ge?|f|h|hs|u))", "phoenix"),
    _series("Ryzen 7000", r"ryzen[3579](pro)?(7\d{3}(x|x3d)?|7\d45hx(3d)?)", "zen4"),
    _series("Threadripper 7000", r"ryzenthreadripper(pro)?7\d{3}w?x", "zen4"),
    _series("Ryzen 9000", r"ryzen[3579](pro)?9\d{3}(x|x3d|f)?", "granite-ridge"),
    _series("Threadripper 9000", r"ryzenthreadripper(pro)?9\d{3}w?x", "zen5-epyc"),
    _series("Ryzen AI 300 and Max", r"ryzenai([3579](pro)?(hx)?(pro)?3\d\d|max\+?(pro)?3\d\d)", "strix"),
)
"""The first series whose pattern fits is meant: exceptions come before the rule."""


class Missing(NamedTuple):
    """A processor without a row, and why."""

    signature: str
    """As in a row; empty for a processor whose signature is not known either."""
    pattern: str
    """What `plain_name` makes of its names; empty for none."""
    title: str
    why: str


_NO_SOURCE = "no dump, table of capabilities or list of vmx flags of a real one was seen"

NO_ROW = (
    Missing("06-0f", "", "Core 2 (Conroe, Merom), steppings other than 6", _NO_SOURCE),
    Missing("06-2e", r"[elx]75\d\d", "Xeon 6500 and 7500 (Nehalem-EX)", _NO_SOURCE),
    Missing("06-2f", r"e7\d{4}[a-z]?", "Xeon E7 (Westmere-EX)", _NO_SOURCE),
    Missing(
        "06-55-0a:0b",
        r"(platinum|gold)\d3\d\dhl?",
        "Xeon Scalable 3rd generation, H (Cooper Lake)",
        _NO_SOURCE,
    ),
    Missing("06-57", r"phi72\d\d", "Xeon Phi (Knights Landing)", "its dumps have no capability MSRs"),
    Missing(
        "06-6c",
        r"d(17|18|27|28)\d\d[a-z]*",
        "Xeon D-1700 and D-2700 (Ice Lake-D)",
        "its dump is from a virtual machine",
    ),
    Missing("06-8e-0d", "", "Whiskey Lake, stepping 0DH", _NO_SOURCE),
    Missing(
        "06-a5-03",
        r"(i310[13]\d\d[a-z]*|i510[456]00[a-z]*)",
        "Core 10th generation, desktop with six cores on the die (Comet Lake-S)",
        f"{_NO_SOURCE}, and steppings of model A5H differ",
    ),
    Missing("06-ae", r"6[57]\d\dpb", "Xeon 6 SoC (Granite Rapids-D)", _NO_SOURCE),
    Missing("06-af", r"6[79]\d\de", "Xeon 6 with E-cores (Sierra Forest)", _NO_SOURCE),
    Missing(
        "06-cc",
        r"(ultra|core)[579]3\d\d[a-z]*",
        "Core Ultra, series 3 (Panther Lake)",
        "its dump has no capability MSRs",
    ),
    Missing("19-08", r"ryzenthreadripperpro59\d\dwx", "Threadripper PRO 5900 (Chagall)", _NO_SOURCE),
)
"""What people have and the table does not: a name or signature of these is refused with the reason."""

NOISE = re.compile(
    r"\((?:r|tm)\)|®|™|@.*|\b(?:w/|with) .*|,? \d+ compute cores.*|\b\d+-cores?\b.*"
    r"|\b(?:dual|quad|six|eight|twelve|sixteen)[- ]core\b.*|\br[2-9]e?$|\b\d+th gen\b"
    r"|\b(?:intel|amd|genuine|cpu|processor|apu|soc|xeon)\b"
)
CORE = re.compile(r"\bcore (?![3579] )")


def plain_name(name: str) -> str:
    """Return a name in the trade without what does not tell processors apart.

    What falls away are the maker, "Xeon", clock rates, numbers of cores, graphics, case, spaces and hyphens.
    """
    text = CORE.sub("", NOISE.sub(" ", name.lower()).strip())
    return re.sub(r"[\s_-]", "", text)


@lru_cache(maxsize=1)
def _read() -> dict[str, str]:
    return {plain_name(name): signature for signature, names in READ.items() for name in names.split(", ")}


def signature_read(plain: str) -> str | None:
    """Return the signature that was read of a processor whose name is plain; None if it was not read."""
    return _read().get(plain)
