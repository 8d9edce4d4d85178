"""The words of a synthetic shop: product families, variants, units and what sellers add to a title.

Every list is written for kembar; brands and product names are put together from syllables. To add a kind of
product, add one `Family` whose silhouettes exist in `kembar.synthesis.drawing.SILHOUETTES`.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

Colour = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Variant:
    """One colour, flavour, scent or type, its spellings and the colour it gives to a drawn product."""

    spellings: tuple[str, ...]
    colour: Colour


@dataclass(frozen=True, slots=True)
class Family:
    """A kind of product.

    Attributes:
        silhouettes: names in `kembar.synthesis.drawing.SILHOUETTES`, any of which may be drawn for the product.
        nouns: what sellers call it, in Indonesian, English or Malay.
        attributes: further words a title may carry.
        variants: the key in `VARIANTS` that siblings of the product differ by.
        sizes: quantities such as `"250 g"`, value and unit; at least five, enough for siblings to differ by.
        branded: the share of products with a brand, in [0, 1].
        sized: how often a title names the quantity, in [0, 1].
    """

    silhouettes: tuple[str, ...]
    nouns: tuple[str, ...]
    attributes: tuple[str, ...]
    variants: str
    sizes: tuple[str, ...]
    branded: float
    sized: float


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split("|"))


def _variants(rows: str) -> tuple[Variant, ...]:
    parsed = []
    for row in rows.split(","):
        spellings, code = row.strip().rsplit(" ", 1)
        red, green, blue = bytes.fromhex(code)
        parsed.append(Variant(_words(spellings), (red, green, blue)))
    return tuple(parsed)


VARIANTS: dict[str, tuple[Variant, ...]] = {
    "colour": _variants("""
        hitam|black|hitam pekat 2b2b30, putih|white|putih bersih f1efe9, merah|red|merah cabe c8323a,
        biru|blue|biru laut 2f6fb7, navy|biru dongker|biru tua 26365f, hijau|green|hijau botol 3f8a5b,
        kuning|yellow|kuning cerah efc23f, pink|merah muda|dusty pink e59bb0, ungu|purple|lilac 8a63b5,
        abu|grey|abu abu 8e9299, coklat|brown|coklat susu 80573d, cream|krem|beige e5d3b3,
        maroon|merah marun|merah hati 7a2436, tosca|turquoise|hijau tosca 3fb0a8,
        mustard|kuning mustard|mustard tua c9982f, army|hijau army|olive 5f6742
        """),
    "shade": _variants("""
        nude|nude pink c98b78, coral|oranye coral ee6f57, rosewood|kayu mawar a8555c, berry|beri 8c2f58,
        merah bata|brick red a63d2f, peach|persik f2a184, plum|ungu plum 6b3056, cherry|ceri c4203f,
        caramel|karamel ad6b3e, natural|alami d9a98c
        """),
    "flavour": _variants("""
        coklat|chocolate|choco 6b4026, vanila|vanilla|vanili f0e0b0, stroberi|strawberry|strawbery e5546a,
        pisang|banana f2d14e, melon|rasa melon a5d36f, mangga|mango f3a32e, kopi|coffee|mocca 5a3b2a,
        matcha|green tea|teh hijau 86a94e, taro|talas 9d7bb8, jeruk|orange f28a2a, anggur|grape 6c3f83,
        original|ori rasa asli 4d86b8
        """),
    "savoury": _variants("""
        pedas|spicy|hot cc3a22, balado|rasa balado b7332c, keju|cheese f2b632, rumput laut|seaweed 3e6b4a,
        ayam bawang|chicken onion e0a33a, sapi panggang|barbeque|bbq 8c4a2b, jagung manis|sweet corn f3cf4f,
        original|asin gurih 3b7cb5, udang|prawn|shrimp e8774e, jamur|mushroom a98f72
        """),
    "scent": _variants("""
        lavender|lavendel 9b84c4, lemon|jeruk lemon efd84a, mawar|rose e48aa4, aloe vera|lidah buaya 7fbf7a,
        melati|jasmine f0ecd6, green tea|teh hijau 8fb36a, sakura|bunga sakura f3b6c4,
        ocean fresh|segar laut 5aa7d6, charcoal|arang 42454a, susu kambing|goat milk f3e6d3,
        madu|honey e0a437, original|ori classic 5587b5
        """),
    "skin": _variants("""
        normal|all skin type 8cb9d9, kulit kering|dry skin e7b9a0, kulit berminyak|oily skin 8dc7a1,
        kulit sensitif|sensitive skin e6c6d6, berjerawat|acne|acne care 6aa98f,
        brightening|mencerahkan f1cd6b, anti aging|anti penuaan b88fc2, gold|emas d2a845
        """),
    "motif": _variants("""
        polos hitam|plain black 303036, polos putih|plain white f0eee8, bunga merah|red floral c6525c,
        bunga biru|blue floral 5879b8, garis navy|navy stripe 2d3f6e, kotak abu|grey plaid 8d9096,
        batik coklat|brown batik 7d5636, batik hijau|green batik 4a7a58, polkadot pink|pink polka e79db2,
        daun sage|sage leaf 93a98a, tie dye ungu|purple tie dye 8f72b8, kuning lemon|lemon yellow ecd05a
        """),
}


_SIZES = {
    "clothes": "S size|M size|L size|XL size|XXL size|3XL size",
    "shoes": "36 size|37 size|38 size|39 size|40 size|41 size|42 size|43 size",
    "creams": "10 g|15 g|20 g|30 g|50 g|100 g",
    "drops": "10 ml|20 ml|30 ml|60 ml|100 ml|120 ml",
    "washes": "50 ml|80 ml|100 ml|150 ml|200 ml|250 ml",
    "bottles": "100 ml|170 ml|250 ml|400 ml|680 ml|900 ml",
    "snacks": "20 g|50 g|68 g|85 g|100 g|120 g|250 g|500 g",
    "diapers": "S 20 pack|S 40 pack|M 18 pack|M 34 pack|L 30 pack|XL 26 pack",
    "pieces": "1 pcs|3 pcs|5 pcs|6 pcs|10 pcs|12 pcs|20 pcs|50 pcs",
    "mah": "5000 mah|7500 mah|10000 mah|20000 mah|30000 mah",
    "phones": "Velix A5 phone|Velix A12 phone|Nuvo 7 phone|Nuvo 9 Pro phone|Orbo X2 phone|Orbo X3 phone"
    "|Tanto S10 phone",
}

# Two rows per family: silhouettes; variants; branded; sized; nouns
#                       sizes (or their name in _SIZES); attributes
_FAMILIES = """
    dropper|bottle; skin; 0.95; 0.7; serum wajah|face serum|serum muka|essence
        drops; glowing|vitamin c|niacinamide|pencerah|flek hitam|kulit kusam|pore minimizer|hydrating
    tube; scent; 0.95; 0.7; sabun muka|facial wash|face wash|pembersih muka
        washes; gentle|foam|acne|untuk pria|whip|deep clean|kulit kusam
    jar; skin; 0.9; 0.65; krim wajah|face cream|krim malam|night cream|moisturizer
        creams; pelembab|day cream|gel|whitening|barrier|anti kerut|herbal
    bottle|pump; scent; 0.95; 0.7; toner|face toner|penyegar wajah|hydrating toner
        bottles; exfoliating|aha bha|rice|tanpa alkohol|fresh|pore
    tube|pump; skin; 0.9; 0.6; sunscreen|tabir surya|sunblock|sun gel
        creams; spf 30|spf 50|pa+++|uv protect|no whitecast|outdoor
    sachet; scent; 0.85; 0.5; sheet mask|masker wajah|face mask|masker kertas
        pieces; korea|paket|lembab|essence|hydrating|brightening
    lipstick; shade; 0.95; 0.2; lipstik|lipstick|lip cream|lip matte|pewarna bibir
        2 g|3 g|4 g|5 g|6 g; matte|tahan lama|waterproof|velvet|ombre|mini|ringan
    compact; shade; 0.95; 0.4; bedak|compact powder|bedak padat|two way cake|cushion
        creams; oil control|refill|halus|tahan lama|coverage|translucent
    perfume; scent; 0.85; 0.7; parfum|perfume|eau de parfum|minyak wangi
        drops; wanita|pria|tahan lama|unisex|inspired|travel|mewah
    pump|bottle; scent; 0.95; 0.8; sampo|shampoo|shampo rambut
        bottles; anti ketombe|rambut rontok|hijab|keratin|anti lepek|herbal
    pump|bottle; scent; 0.95; 0.75; sabun mandi cair|body wash|shower gel|sabun cair
        bottles; antibakteri|refreshing|whitening|scrub|bayi|lembut
    carton|tube; flavour; 0.98; 0.75; pasta gigi|toothpaste|odol
        50 g|75 g|120 g|150 g|190 g|225 g; whitening|herbal|anak|gigi sensitif|total care|mint
    pouch|pump; scent; 0.95; 0.75; deterjen|detergent|sabun cuci|pewangi pakaian|softener
        250 ml|450 ml|700 ml|800 ml|1 l|2 l; cair|refill|matic|anti noda|konsentrat|bubuk
    pouch; colour; 0.97; 0.9; popok bayi|diapers|pampers|pempers celana
        diapers; celana|pants|perekat|newborn|anti bocor|soft|jumbo
    pack; savoury; 0.8; 0.75; keripik|chips|snack|camilan|kerupuk
        snacks; renyah|singkong|kentang|kiloan|oleh oleh|halal|crispy
    carton|pack; flavour; 0.9; 0.75; biskuit|biscuit|wafer|cookies|kue kering
        snacks; krim|kaleng|lapis|sandwich|lebaran|renyah|mini
    pack|cup; savoury; 0.95; 0.5; mie instan|instant noodle|mie goreng|ramen
        55 g|70 g|85 g|110 g|120 g; kuah|goreng|import|jumbo|halal|karton|level 5
    pouch|sachet; flavour; 0.9; 0.75; kopi bubuk|coffee powder|kopi|instant coffee
        20 g|65 g|100 g|165 g|200 g|500 g|1 kg; robusta|arabika|sachet|tanpa ampas|gula aren|premium|susu
    carton|pouch; scent; 0.9; 0.6; teh celup|tea bag|teh|teh herbal
        5 pack|15 pack|25 pack|30 pack|50 pack|100 pack; hijau|melati|premium|diet|tubruk|asli|wangi
    milkbox|can; flavour; 0.97; 0.85; susu uht|uht milk|susu cair|susu kotak
        110 ml|125 ml|200 ml|250 ml|900 ml|1 l; full cream|low fat|segar|karton|anak|tinggi kalsium
    can|carton; flavour; 0.98; 0.85; susu formula|susu bubuk|milk powder|formula bayi
        200 g|350 g|400 g|600 g|800 g|1 kg|1.5 kg; 0-6 bulan|1+|3+|gold|soya|dha|platinum
    sack; colour; 0.8; 0.9; beras|rice|beras putih|beras pulen
        1 kg|2.5 kg|5 kg|10 kg|20 kg|25 kg; premium|organik|pandan wangi|merah|super|cap bunga|setra
    jar|bottle; savoury; 0.85; 0.6; sambal|chili sauce|saus sambal|bumbu
        100 g|135 g|150 g|200 g|250 g|340 g; bawang|terasi|homemade|petis|extra pedas|siap saji|matah
    jar|bottle; flavour; 0.8; 0.75; madu|honey|madu hutan|madu murni
        100 g|250 g|350 g|500 g|650 g|1 kg; asli|raw|hitam|kelulut|anak|multiflora|akasia
    tin|can; savoury; 0.95; 0.75; sarden|kornet|canned fish|ikan kaleng|daging kaleng
        120 g|155 g|185 g|200 g|340 g|425 g; saus tomat|halal|siap saji|pedas|luncheon|tuna
    pill|carton; flavour; 0.95; 0.7; vitamin|suplemen|supplement|kapsul herbal
        10 tab|20 tab|30 tab|60 tab|100 tab; daya tahan tubuh|multivitamin|kolagen|zinc|imun|minyak ikan
    carton; colour; 0.6; 0.75; masker medis|face mask|masker earloop|surgical mask
        10 pcs|20 pcs|25 pcs|50 pcs|100 pcs; 3ply|anak|dewasa|duckbill|anti virus|headloop|4 ply
    shirt; colour; 0.35; 0.3; kaos|t-shirt|kaos oblong|baju kaos|tshirt
        clothes; distro|lengan pendek|katun combed|oversize|unisex|sablon|pria|wanita
    dress; motif; 0.35; 0.3; gamis|dress|midi dress|maxi dress|daster
        clothes; wanita|busui|rayon|lengan panjang|syari|kekinian|premium|jumbo
    hoodie; colour; 0.35; 0.35; hoodie|jaket|sweater|jumper
        clothes; fleece|tebal|zipper|pria|oversize|couple|unisex|polos
    hijab; colour; 0.35; 0.2; hijab|jilbab|kerudung|pashmina|khimar|tudung
        100 cm|110 cm|115 cm|130 cm|180 cm; instan|ceruty|segi empat|voal|pet antem|jersey|syari|bergo
    trousers; colour; 0.3; 0.35; celana|pants|celana panjang|kulot|jogger
        clothes; wanita|pria|jeans|chino|highwaist|karet|kerja|cargo
    shoe; colour; 0.5; 0.4; sepatu|shoes|sneakers|kasut
        shoes; sport|running|pria|wanita|sekolah|import|casual|kets
    sandal; colour; 0.4; 0.4; sandal|sendal|slipper|sandal jepit|selop
        36 size|37 size|38 size|39 size|40 size|41 size; karet|anti slip|rumah|wanita|pria|empuk|outdoor
    bag|sling; colour; 0.35; 0.15; tas wanita|tas selempang|sling bag|shoulder bag|handbag
        18 cm|20 cm|22 cm|25 cm|30 cm; import|kulit|korea|mini|fashion|rantai|kanvas|premium
    backpack; colour; 0.4; 0.15; tas ransel|backpack|tas sekolah|ransel laptop|beg sekolah
        14 cm|25 cm|35 cm|40 cm|45 cm; anti air|anak|usb|pria|kanvas|outdoor|besar
    watch; colour; 0.6; 0.05; jam tangan|watch|arloji|wristwatch
        28 cm|32 cm|36 cm|40 cm|44 cm; pria|wanita|digital|analog|rantai|sport|anti air|couple
    case; colour; 0.25; 0.85; casing hp|phone case|softcase|case|kondom hp|sarung hp
        phones; silikon|matte|anti crack|lens protect|karakter|bening|premium
    glass; colour; 0.3; 0.85; tempered glass|anti gores|pelindung layar|screen protector
        phones; full cover|bening|anti spy|matte|9h|ceramic|full lem
    charger; colour; 0.8; 0.5; charger|kepala charger|adaptor|travel charger|batok
        5 w|10 w|18 w|20 w|33 w|65 w; fast charging|usb|type c|original|dual port|quick charge
    powerbank; colour; 0.85; 0.8; powerbank|power bank|bank daya|pengisi daya
        mah; slim|fast charging|real capacity|digital|mini|dual usb
    cable; colour; 0.7; 0.5; kabel data|usb cable|data cable|kabel cas
        25 cm|1 m|1.5 m|2 m|3 m; type c|micro usb|fast charging|nylon|lightning|3 in 1
    headset; colour; 0.75; 0.05; headset|headphone|earphone|handsfree
        pieces; bass|gaming|bluetooth|mic|stereo|wireless|hifi
    flash; colour; 0.9; 0.9; flashdisk|usb flash drive|memory usb|flash disk
        4 gb|8 gb|16 gb|32 gb|64 gb|128 gb; usb 3.0|metal|otg|mini|original|garansi
    lamp; colour; 0.8; 0.85; lampu led|led bulb|bohlam led|lampu
        3 w|5 w|7 w|9 w|12 w|15 w|18 w; hemat energi|putih|emergency|sensor|terang|garansi|kuning
    car; colour; 0.4; 0.1; mobil mobilan|toy car|mainan mobil|diecast
        pieces; anak|remote|mini|pull back|edukasi|truk|balap
    bear; colour; 0.3; 0.5; boneka|doll|boneka beruang|plush toy|teddy bear
        20 cm|25 cm|30 cm|40 cm|60 cm|100 cm; lucu|jumbo|kado|anak|halus|wisuda|karakter
    blocks; colour; 0.4; 0.55; balok susun|building blocks|mainan edukasi|puzzle kayu|bricks
        12 pcs|24 pcs|36 pcs|50 pcs|100 pcs; anak|edukatif|warna warni|montessori|kayu|kreatif|1 set
    tumbler; colour; 0.6; 0.7; botol minum|tumbler|water bottle|termos
        350 ml|500 ml|600 ml|750 ml|1 l; stainless|anti tumpah|anak|bpa free|vacuum|sport|custom
    pan; colour; 0.7; 0.8; wajan|frying pan|teflon|penggorengan|kuali
        16 cm|18 cm|20 cm|24 cm|26 cm|28 cm; anti lengket|marble|granit|induksi|kaca|serbaguna
    notebook; motif; 0.6; 0.5; buku tulis|notebook|buku catatan|binder|jurnal
        38 pack|50 pack|58 pack|80 pack|100 pack; a5|b5|garis|polos|agenda|hardcover|lucu
    pens; colour; 0.8; 0.65; pulpen|pen|ballpoint|spidol|pensil warna
        pieces; gel|0.5mm|hitam|warna|sekolah|grosir
    bedding; motif; 0.35; 0.75; sprei|bed sheet|seprai|bed cover
        100 cm|120 cm|140 cm|160 cm|180 cm|200 cm; katun|waterproof|motif|premium|karet|halus|aesthetic
    pouch|sack; savoury; 0.95; 0.8; makanan kucing|cat food|pakan kucing|pet food
        85 g|400 g|500 g|1 kg|1.5 kg|7 kg; kering|kitten|adult|repack|ikan|anti hairball|basah
    """


def _families(rows: str) -> tuple[Family, ...]:
    parsed = []
    lines = [[field.strip() for field in row.split(";")] for row in rows.strip().splitlines()]
    for (silhouettes, variants, branded, sized, nouns), (sizes, attributes) in zip(
        lines[::2], lines[1::2], strict=True
    ):
        values = _words(_SIZES.get(sizes, sizes))
        parsed.append(
            Family(
                silhouettes=_words(silhouettes),
                nouns=_words(nouns),
                attributes=_words(attributes),
                variants=variants,
                sizes=values,
                branded=float(branded),
                sized=float(sized),
            )
        )
    return tuple(parsed)


FAMILIES: tuple[Family, ...] = _families(_FAMILIES)

_SPELLINGS: dict[str, Callable[[str], str]] = {
    "g": lambda v: f"{v}gr|{v} gr|{v}g|{v} gram|{v}gram|{_scaled(v, 'gr', 'kg')}",
    "kg": lambda v: f"{v}kg|{v} kg|{v} Kg|{v.replace('.', ',')} kg|{v} kilo|{float(v) * 1000:g} gr",
    "ml": lambda v: f"{v}ml|{v} ml|{v}ML|{v} mL|{v} ml|{_scaled(v, 'ml', 'L')}",
    "l": lambda v: f"{v}L|{v} L|{v} liter|{v} ltr|{v}l|{float(v) * 1000:g} ml",
    "pcs": lambda v: f"isi {v}|{v} pcs|{v}pcs|isi {v} pcs|@{v} pcs|{v} buah",
    "pack": lambda v: f"isi {v}|{v}|{v}s|{v}'s|isi {v} pcs|{v} pcs",
    "tab": lambda v: f"{v} tablet|isi {v}|{v} kapsul|{v} tab|{v}s|{v} butir",
    "cm": lambda v: f"{v}cm|{v} cm|uk {v} cm|ukuran {v}cm|{v} CM|{v}",
    "m": lambda v: f"{v}m|{v} m|{v} meter|{v} M|{v} mtr|{float(v) * 100:g}cm",
    "size": lambda v: f"size {v}|{v}|uk {v}|ukuran {v}|sz {v}|fit {v}",
    "gb": lambda v: f"{v}GB|{v} GB|{v}gb|{v} Gb|{v} giga|{v}G",
    "mah": lambda v: f"{v}mAh|{v} mAh|{v}mah|{v} MAH|{int(v) // 1000}.{int(v) % 1000:03d} mAh|{v}",
    "w": lambda v: f"{v}W|{v} W|{v} watt|{v}watt|{v} Watt|{v}w",
    "phone": lambda v: f"{v}|for {v}|{v}|untuk {v}|{v.replace(' ', '')}|hp {v}",
}
SPELLINGS_PER_SIZE = 6


def _scaled(value: str, small: str, large: str) -> str:
    if float(value) < 250:
        return f"{value} {small}"
    return f"{float(value) / 1000:g} {large}".replace(".", ",")


def spell_size(size: str) -> tuple[str, ...]:
    """Spell a quantity the ways sellers do.

    Args:
        size: value and unit, such as `"250 g"`, the unit one of those used in `FAMILIES`.

    Returns:
        Six spellings; the first is the one printed on the product.
    """
    value, unit = size.rsplit(" ", 1)
    return tuple(_SPELLINGS[unit](value).split("|"))


PROMOTIONS = _words(
    "PROMO|MURAH|TERMURAH|READY STOCK|READY|COD|BPOM|FREE ONGKIR|GRATIS ONGKIR|ORIGINAL|ORI 100%"
    "|ORIGINAL 100%|BEST SELLER|TERLARIS|SALE|FLASH SALE|DISKON|NEW|TERBARU|PREMIUM|IMPORT|GROSIR|ECER"
    "|[READY]|[PROMO]|[COD]|BISA COD|(ORIGINAL)|HARGA GROSIR|STOK TERBATAS|VIRAL|KEKINIAN|BELI 2 GRATIS 1"
    "|HALAL|GARANSI RESMI|REAL PICT|LAGI HITS|CUCI GUDANG|BESTSELLER !!|🔥 PROMO|✨ NEW ✨|⭐ TERLARIS"
    "|❤ READY|MURAH BANGET|MURMER|JAMIN MURAH"
)
TAILS = _words(
    "ori|original|murah|asli|bpom|premium|terbaru|berkualitas|garansi|terlaris|best quality|grosir|ecer"
    "|satuan|bisa cod|ready|made in korea|import|high quality|lokal|official|resmi|exp lama"
    "|bonus bubble wrap|per pcs|harga satuan|serbaguna|kualitas terbaik|bahan tebal|siap kirim"
    "|(1kg muat 5pcs)|free bubble|kado|hadiah"
)
ABBREVIATIONS = {
    "original": "ori", "wanita": "wnt", "untuk": "utk", "warna": "wrn", "panjang": "pjg", "pendek": "pdk",
    "fast charging": "fastcharging", "power bank": "pb", "anak": "ank", "tempered glass": "tg",
    "wajah": "wjh", "jam tangan": "jamtangan", "tahan lama": "thn lama", "celana": "cln", "sepatu": "spatu",
    "premium": "prem", "coklat": "cokelat", "serum wajah": "serum", "phone case": "case", "kotak": "ktk",
    "sabun": "sbn",
}  # fmt: skip
# As the raw bytes of an emoji come out of a careless export; real catalogues hold them literally.
ESCAPES = (r"\xf0\x9f\x98\x8a", r"\xf0\x9f\x94\xa5", r"\xe2\x9d\xa4", r"\xe2\x9c\xa8", r"\xf0\x9f\x8e\x81")

_ONSETS = _words("b|c|d|f|g|h|j|k|l|m|n|p|r|s|t|v|w|y|z|br|kr|gl|pr|st|tr|sh|ch|fl")
_VOWELS = _words("a|e|i|o|u|a|i|o|ea|io|au")
_ENDS = _words("|||n|s|r|x|l|m|nia|ra|tta|vin|ly|co|mart")
_NAMES = _words(
    "glow|aqua|ultra|royal|fresh|pure|magic|star|luna|silk|velvet|crystal|prima|sakti|jaya|mega|nova"
    "|alpha|bloom|spark|cloud|honey|classic|active|max|extra|super|gold|daily|happy|rainbow|kenanga|melur"
    "|kartika|bintang|cahaya|mutiara|pelangi|kirana|senja|fajar|anggun|ceria|lestari|nusantara|garuda"
    "|cendana|turbo|wave|flex|neo|zen|vibe"
)


def coin_words(rng: random.Random, count: int, *, known: bool = False) -> list[str]:
    """Invent pronounceable words, all different.

    Args:
        rng: the random generator.
        count: how many.
        known: whether the list opens with common product names such as "glow".

    Returns:
        `count` lower-case words.
    """
    coined = dict.fromkeys(_NAMES[:count] if known else ())
    while len(coined) < count:
        count_syllables = rng.choice((1, 2, 2, 3))
        syllables = "".join(rng.choice(_ONSETS) + rng.choice(_VOWELS) for _ in range(count_syllables))
        coined[syllables + rng.choice(_ONSETS[:19]) * (len(syllables) < 3) + rng.choice(_ENDS)] = None
    return list(coined)


def misspell(rng: random.Random, word: str) -> str:
    """Return the word as a hurried seller types it: abbreviated, or a letter dropped, doubled or swapped.

    Args:
        rng: the random generator.
        word: one or more words, lower case.

    Returns:
        Never empty; the word itself if it is too short to misspell.
    """
    for full, short in ABBREVIATIONS.items():
        if full in word and rng.random() < 0.6:
            return word.replace(full, short)
    if len(word) < 4:
        return word
    at = rng.randrange(1, len(word) - 1)
    return rng.choice(
        (
            word[:at] + word[at + 1 :],
            word[:at] + word[at] + word[at:],
            word[:at] + word[at + 1] + word[at] + word[at + 2 :],
            word.replace(" ", "") if " " in word else word[:at] + rng.choice("aiueon") + word[at + 1 :],
        )
    )
