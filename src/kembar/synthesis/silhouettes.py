"""The shapes of products: what `kembar.synthesis.drawing` paints.

A silhouette is a list of shapes in a square from -100 to 100 (x to the right, y down), each filled with the
role of a colour rather than a colour: body is the colour of the variant, deep and pale are its shades, accent is
the colour of the brand. To add one, add a row to the table.

=====================  =========================================================================
shape                  numbers
=====================  =========================================================================
rect, oval             x0 y0 x1 y1, for rect also the radius of its corners
ring, line             width, then x0 y0 x1 y1 or the points of the line
poly, curve            points; a curve has its corners rounded off
mirror, smooth         poly and curve of which only the right half is given
panel                  x0 y0 x1 y1: where the print goes (role none: straight on the product)
=====================  =========================================================================
"""

Part = tuple[str, str, tuple[float, ...]]

# name: lighting | shape role numbers | ...
_SILHOUETTES = """
bottle: round | rect accent -17 -98 17 -66 5 | rect pale -12 -68 12 -56
    | smooth body 13 -62 36 -46 40 -20 40 90 32 97 | panel white -38 -24 38 72
pump: round | rect white -5 -94 5 -62 | rect white -8 -98 32 -88 4 | rect white -16 -74 16 -58 3
    | smooth body 16 -60 44 -48 44 -20 44 92 36 97 | panel white -42 -26 42 74
dropper: round | smooth black 8 -99 11 -80 10 -68 | rect metal -15 -72 15 -52 2
    | smooth body 15 -54 34 -44 34 92 28 97 | panel white -33 -22 33 72
tube: round | mirror body 46 -88 32 64 | rect deep -46 -94 46 -84 1 | rect white -29 63 29 96 5
    | panel none -34 -64 34 46
jar: round | rect accent -56 -56 56 -20 8 | rect body -52 -22 52 62 16 | panel white -50 -8 50 46
sachet: flat | rect body -54 -84 54 84 2 | rect deep -54 -84 54 -74 | rect deep -54 74 54 84
    | oval pale -28 24 28 68 | panel none -44 -62 44 26
lipstick: round | rect black -36 14 0 96 3 | rect metal -33 -4 -3 16 2
    | poly body -30 -4 -30 -56 -18 -74 -6 -64 -6 -4 | rect black 16 4 52 96 3 | rect metal 16 4 52 10
    | panel none 17 24 51 78
compact: gloss | oval deep -60 -98 60 8 | oval glass -50 -90 50 0 | oval black -66 -22 66 92
    | oval metal -57 -14 57 84 | oval body -50 -8 50 78 | panel none -36 8 36 62
perfume: gloss | rect metal -13 -78 13 -58 3 | rect accent -22 -98 22 -72 4 | rect pale -54 -60 54 92 12
    | rect body -46 -20 46 85 8 | panel none -40 -8 40 72
carton: flat | poly body -64 -66 32 -66 32 90 -64 90 | poly deep 32 -66 66 -82 66 72 32 90
    | poly pale -64 -66 -34 -82 66 -82 32 -66 | panel white -58 -48 26 72
milkbox: flat | line white 4 14 -64 18 -90 34 -97 | poly body -44 -60 24 -60 24 95 -44 95
    | poly deep 24 -60 48 -71 48 82 24 95 | poly pale -44 -60 -20 -71 48 -71 24 -60
    | panel white -40 -36 20 76
can: round | rect metal -46 -92 46 94 12 | rect body -46 -80 46 82 | oval metal -46 -98 46 -76
    | oval glass -38 -95 38 -79 | panel white -44 -52 44 62
tin: round | rect metal -68 -44 68 62 16 | rect body -68 -30 68 50 | oval metal -68 -62 68 -24
    | oval glass -58 -57 58 -29 | ring deep 3 -14 -56 14 -36 | panel none -54 -20 54 46
pack: gloss | smooth body 60 -95 54 -80 60 0 54 80 60 95 0 95 | rect deep -57 -95 57 -86
    | rect deep -57 86 57 95 | oval pale -46 14 46 78 | oval cream -34 30 2 54 | oval cream -4 40 34 66
    | oval wood -14 22 22 42 | panel none -48 -76 48 14
pouch: gloss | smooth body 52 -95 53 -80 58 60 50 96 0 97 | rect deep -50 -93 50 -80
    | oval accent -22 56 22 88 | panel white -43 -62 43 50
cup: round | mirror body 58 -62 42 92 | rect white -62 -76 62 -60 4 | panel white -45 -44 45 58
sack: cloth | mirror deep 34 -99 22 -84 36 -70 | smooth body 30 -84 60 -70 66 60 56 95 0 96
    | panel white -48 -52 48 66
pill: round | rect white -32 -97 32 -66 5 | rect body -42 -68 42 95 14 | panel white -42 -38 42 66
shirt: cloth | smooth body 16 -86 48 -78 96 -40 76 -6 54 -30 54 92 50 94 0 95 | oval deep -21 -98 21 -70
    | panel none -32 -36 32 24
dress: cloth | smooth body 12 -94 34 -88 66 -20 72 14 56 18 36 -36 28 -2 66 92 60 98 0 98
    | oval deep -15 -99 15 -82 | line accent 5 -29 -2 29 -2
hoodie: cloth | smooth deep 0 -99 36 -92 42 -60 0 -48
    | smooth body 24 -74 56 -66 94 50 70 62 54 -6 54 88 0 89 | smooth pale 0 -90 22 -82 24 -62 0 -54
    | mirror deep 22 30 36 64 | line white 3 -11 -54 -13 -14 | line white 3 11 -54 13 -18
    | panel none -32 -14 32 28
hijab: cloth | smooth body 0 -98 42 -88 56 -44 50 -6 86 64 44 96 0 98 | oval deep -31 -76 31 2
    | oval cream -26 -70 26 -2 | line deep 3 -30 0 10 40 46 84 | line pale 2 24 6 0 40 -40 78
trousers: cloth | mirror body 40 -96 46 -20 50 97 16 97 3 -44 | rect deep -41 -98 41 -86 2
    | line pale 2 -26 -80 -34 90 | line pale 2 26 -80 34 90 | rect metal -4 -95 4 -89 1
shoe: gloss | curve body -94 30 -84 -34 -60 -40 -34 -46 -12 -14 40 8 90 18 97 52 -94 54
    | curve white -96 44 20 42 97 42 97 66 -96 66 | line white 4 -26 -34 -8 -20 | line white 4 -14 -24 4 -10
    | line white 4 -2 -14 16 -2 | curve accent -70 30 -20 22 30 34 -30 34
sandal: cloth | curve body -74 -96 -18 -92 -14 0 -22 96 -64 96 -78 0
    | curve body 74 -96 18 -92 14 0 22 96 64 96 78 0 | curve deep -66 -86 -26 -84 -22 0 -28 86 -58 86 -68 0
    | curve deep 66 -86 26 -84 22 0 28 86 58 86 68 0 | line accent 11 -76 -14 -50 -56 -14 -14
    | line accent 11 76 -14 50 -56 14 -14
bag: gloss | ring deep 7 -38 -98 38 10 | mirror body 62 -40 80 88 0 90 | smooth deep 66 -42 74 18 0 40
    | rect metal -9 22 9 40 3 | panel none -40 -36 40 14
sling: gloss | line deep 4 -64 10 -44 -97 44 -97 64 10 | rect body -74 -16 74 74 22
    | rect deep -74 -16 74 30 20 | rect metal -10 22 10 40 3 | panel none -40 -12 40 20
backpack: cloth | ring deep 8 -19 -99 19 -66 | rect deep -72 -20 -50 80 10 | rect deep 50 -20 72 80 10
    | smooth body 50 -88 62 -70 64 92 0 96 | rect deep -46 8 46 80 14 | line pale 3 -46 28 46 28
    | panel none -38 -58 38 0
watch: gloss | rect deep -21 -99 21 99 9 | oval metal -54 -54 54 54 | oval body -46 -46 46 46
    | rect metal 52 -7 61 7 2 | line white 4 0 0 0 -32 | line white 4 0 0 22 14 | oval white -4 -4 4 4
case: gloss | rect body -48 -97 48 97 18 | rect deep -40 -88 2 -42 12 | oval black -36 -84 -20 -68
    | oval black -20 -64 -4 -48 | oval white -16 -82 -8 -74 | panel none -36 -22 36 50
glass: gloss | rect black -62 -92 30 92 12 | rect accent -56 -82 24 82 4 | rect glass -8 -84 66 98 10
    | rect pale -2 -76 60 90 6 | panel none 2 -40 56 60
charger: gloss | rect metal -20 -98 -11 -56 | rect metal 11 -98 20 -56 | rect body -48 -62 48 82 16
    | rect black -16 60 16 70 2 | panel none -40 -46 40 44
powerbank: gloss | rect body -50 -94 50 94 16 | rect black -14 -91 14 -83 2 | oval white -30 64 -24 70
    | oval white -16 64 -10 70 | oval glass -2 64 4 70 | panel none -42 -56 42 52
cable: round | ring body 9 -70 -56 58 72 | ring deep 8 -58 -66 66 60 | line body 9 50 -40 76 -60
    | line body 9 -60 40 -82 66 | rect white 64 -84 90 -56 4 | rect metal 70 -99 84 -82 1
    | rect white -97 58 -70 84 4 | rect metal -92 82 -76 98 1
headset: gloss | line deep 11 -66 16 -62 -40 -36 -76 0 -88 36 -76 62 -40 66 16 | oval body -92 -16 -44 70
    | oval body 44 -16 92 70 | oval black -70 -6 -40 60 | oval black 40 -6 70 60 | oval accent -86 14 -74 38
    | oval accent 74 14 86 38
flash: gloss | rect metal -19 -98 19 -46 1 | rect black -11 -86 -3 -76 | rect black 3 -86 11 -76
    | rect body -31 -52 31 94 14 | panel none -27 -36 27 70
lamp: gloss | smooth white 0 -98 56 -80 58 -20 32 34 0 36 | rect body -31 28 31 56 4
    | rect metal -21 56 21 90 4 | line black 2 -21 66 21 64 | line black 2 -21 77 21 75
    | panel none -30 30 30 56
car: gloss | curve body -96 34 -92 -2 -52 -8 -30 -50 36 -50 58 -8 94 2 97 38
    | poly glass -42 -10 -25 -40 0 -40 0 -10 | poly glass 6 -10 6 -40 32 -40 46 -10
    | oval black -70 10 -28 52 | oval black 30 10 72 52 | oval metal -60 20 -38 42 | oval metal 40 20 62 42
    | line accent 5 -90 10 -72 10 | oval cream 84 6 95 18
bear: cloth | oval deep -58 -98 -22 -62 | oval deep 22 -98 58 -62 | oval body -88 -4 -40 40
    | oval body 40 -4 88 40 | oval body -62 46 -14 98 | oval body 14 46 62 98 | oval body -50 -24 50 84
    | oval body -54 -90 54 2 | oval pale -26 -46 26 -6 | oval pale -30 8 30 66 | oval black -26 -62 -14 -50
    | oval black 14 -62 26 -50 | oval black -9 -42 9 -30 | curve accent -30 -6 0 4 30 -6 30 14 0 8 -30 14
blocks: flat | rect body -86 30 -14 92 4 | rect accent -10 30 62 92 4 | rect cream -50 -34 22 28 4
    | rect deep 26 -34 88 28 4 | rect pale -14 -96 48 -38 4 | oval pale -74 20 -56 34
    | oval pale -44 20 -26 34 | oval pale 0 20 18 34 | oval pale 32 20 50 34
tumbler: round | rect black -28 -98 28 -70 6 | rect body -38 -72 38 96 12 | rect metal -38 -70 38 -60
    | panel none -32 -36 32 50
pan: gloss | line black 15 40 0 97 0 | oval deep -97 -68 53 82 | oval body -88 -60 44 72
    | oval black -74 -46 30 58 | panel none -60 -24 16 36
notebook: flat | rect deep -54 -86 66 96 4 | rect white -58 -90 62 92 4 | rect body -64 -95 56 88 4
    | rect accent -64 -95 -48 88 | panel white -34 -48 44 24
pens: round | line body 13 -70 86 -40 -78 | line accent 13 -34 90 -16 -84 | line deep 13 4 92 6 -86
    | line pale 13 42 90 28 -84 | line black 5 -40 -78 -37 -94 | line black 5 -16 -84 -14 -98
    | line black 5 6 -86 6 -99 | line black 5 28 -84 26 -98
bedding: cloth | curve deep -97 -20 -80 -40 80 -40 97 -20 97 84 -97 84
    | curve pale -80 -70 -10 -74 -6 -20 -84 -16 | curve pale 80 -70 10 -74 6 -20 84 -16
    | curve body -97 0 0 -14 97 0 97 92 -97 92 | line pale 3 -96 14 0 0 96 14
"""


def _round_off(points: list[tuple[float, float]], times: int = 3) -> list[tuple[float, float]]:
    # Chaikin's corner cutting: each round replaces a corner by points a quarter of the way along its edges.
    for _ in range(times):
        ahead = [*points[1:], points[0]]
        points = [
            point
            for (x, y), (u, v) in zip(points, ahead, strict=True)
            for point in (
                (0.75 * x + 0.25 * u, 0.75 * y + 0.25 * v),
                (0.25 * x + 0.75 * u, 0.25 * y + 0.75 * v),
            )
        ]
    return points


def _parse_part(text: str) -> Part:
    shape, role, *rest = text.split()
    numbers = [float(number) for number in rest]
    points = list(zip(numbers[::2], numbers[1::2], strict=False))
    if shape in ("mirror", "smooth"):
        points += [(-x, y) for x, y in reversed(points)]
    if shape in ("curve", "smooth"):
        points = _round_off(points)
    if shape in ("mirror", "smooth", "curve", "poly"):
        return "poly", role, tuple(value for point in points for value in point)
    return shape, role, tuple(numbers)


def _parse_silhouettes(text: str) -> dict[str, tuple[str, tuple[Part, ...]]]:
    parsed = {}
    for row in text.replace("\n    |", " |").strip().splitlines():
        name, rest = row.split(":")
        lighting, *parts = rest.split("|")
        parsed[name] = lighting.strip(), tuple(_parse_part(part) for part in parts)
    return parsed


SILHOUETTES = _parse_silhouettes(_SILHOUETTES)
