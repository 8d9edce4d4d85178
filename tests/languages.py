"""Titles in many languages, with the encodings that exports of their countries have."""

import unicodedata

TITLES: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "simplified Chinese": (
        (
            "gb18030",
            "gbk",
        ),
        [
            "小米无线蓝牙耳机 黑色",
            "耐克男士跑步鞋 42码",
            "洗发水 500毫升 家庭装",
            "苹果手机壳透明防摔",
            "纯棉短袖T恤 女 夏季新款",
            "不锈钢保温杯 500ml",
            "茶叶 铁观音 250克 礼盒",
        ],
    ),
    "traditional Chinese": (
        (
            "big5",
            "cp950",
        ),
        [
            "無線藍牙耳機 黑色",
            "男士運動鞋 42號",
            "洗髮精 500毫升 家庭號",
            "手機殼 透明防摔",
            "純棉短袖上衣 女 夏季新款",
            "不鏽鋼保溫杯 500ml",
            "烏龍茶葉禮盒 250公克",
        ],
    ),
    "Japanese": (
        (
            "cp932",
            "shift_jis",
            "euc_jp",
        ),
        [
            "ワイヤレスイヤホン 黒",
            "メンズ スニーカー 26cm",
            "シャンプー 詰め替え 500ml",
            "スマホケース 透明 耐衝撃",
            "半袖Tシャツ レディース 夏",
            "ステンレス製マグボトル",
            "緑茶 静岡産 100g 2袋セット",
        ],
    ),
    "Korean": (
        (
            "cp949",
            "euc_kr",
        ),
        [
            "무선 블루투스 이어폰 블랙",
            "남성 운동화 270mm",
            "샴푸 500ml 대용량",
            "아이폰 투명 케이스",
            "여성 반팔 티셔츠 여름 신상",
            "스테인리스 텀블러",
            "녹차 선물세트 250g",
        ],
    ),
    "Thai": (
        (
            "tis-620",
            "cp874",
        ),
        ["หูฟังบลูทูธไร้สาย สีดำ", "รองเท้าผ้าใบผู้ชาย", "แชมพู 500 มล. ขนาดใหญ่", "เคสโทรศัพท์ใส กันกระแทก", "เสื้อยืดแขนสั้น ผู้หญิง"],
    ),
    "Russian": (
        (
            "cp1251",
            "koi8-r",
            "cp866",
        ),
        [
            "Беспроводные наушники черные",
            "Кроссовки мужские 42",
            "Шампунь для волос 500 мл",
            "Чехол для телефона прозрачный",
            "Футболка женская летняя",
        ],
    ),
    "Polish": (
        (
            "cp1250",
            "iso8859-2",
        ),
        [
            "Słuchawki bezprzewodowe czarne",
            "Buty męskie do biegania rozmiar 42",
            "Szampon do włosów 500 ml",
            "Koszulka damska z krótkim rękawem",
            "Etui przezroczyste",
        ],
    ),
    "Czech": (
        ("cp1250",),
        [
            "Bezdrátová sluchátka černá",
            "Pánské běžecké boty velikost 42",
            "Šampon na vlasy 500 ml",
            "Tričko s krátkým rukávem dámské",
            "Pouzdro průhledné",
        ],
    ),
    "Hungarian": (
        ("cp1250",),
        [
            "Vezeték nélküli fülhallgató fekete",
            "Férfi futócipő 42",
            "Sampon 500 ml normál hajra",
            "Női rövid ujjú póló",
            "Átlátszó telefontok, ütésálló, erős",
        ],
    ),
    "French": (
        (
            "cp1252",
            "latin-1",
            "mac_roman",
        ),
        [
            "Écouteurs sans fil noirs",
            "Chaussures de course homme taille 42",
            "Shampooing cheveux secs 500 ml",
            "Coque de téléphone transparente",
            "T-shirt à manches courtes été",
            "Thé vert à la menthe",
        ],
    ),
    "German": (
        ("cp1252",),
        [
            "Kopfhörer kabellos schwarz",
            "Laufschuhe Herren Größe 42",
            "Shampoo für trockenes Haar 500 ml",
            "Handyhülle durchsichtig",
            "Kurzärmliges Hemd weiß",
        ],
    ),
    "Spanish": (
        ("cp1252",),
        [
            "Auriculares inalámbricos negros",
            "Zapatillas de hombre n.º 42",
            "Champú para niños 500 ml",
            "Funda de móvil transparente",
            "Camiseta de algodón",
        ],
    ),
    "Swedish": (
        ("cp1252",),
        [
            "Trådlösa hörlurar svarta",
            "Löparskor herr storlek 42",
            "Hårschampo 500 ml",
            "Mobilskal genomskinligt",
            "Kortärmad tröja blå",
        ],
    ),
    "Greek": (
        ("cp1253",),
        ["Ασύρματα ακουστικά μαύρα", "Αθλητικά παπούτσια ανδρικά 42", "Σαμπουάν 500 ml", "Θήκη κινητού διάφανη"],
    ),
    "Turkish": (
        ("cp1254",),
        [
            "Kablosuz kulaklık siyah",
            "Erkek koşu ayakkabısı 42",
            "Şampuan 500 ml",
            "Şeffaf telefon kılıfı",
            "Kısa kollu tişört kadın",
        ],
    ),
    "Hebrew": (
        ("cp1255",),
        ["אוזניות אלחוטיות שחורות", "נעלי ריצה לגברים 42", "שמפו לשיער 500 מל", "כיסוי שקוף לטלפון"],
    ),
    "Arabic": (("cp1256",), ["سماعات لاسلكية سوداء", "حذاء رياضي رجالي 42", "شامبو للشعر 500 مل", "غطاء هاتف شفاف"]),
    "Lithuanian": (
        ("cp1257",),
        [
            "Belaidės ausinės juodos",
            "Vyriški bėgimo bateliai 42",
            "Šampūnas plaukams 500 ml",
            "Skaidrus dėklas telefonui",
            "Moteriški marškinėliai trumpomis rankovėmis",
        ],
    ),
    "Latvian": (
        ("cp1257",),
        [
            "Bezvadu austiņas melnas",
            "Vīriešu skriešanas apavi 42",
            "Šampūns matiem 500 ml",
            "Caurspīdīgs maciņš tālrunim",
        ],
    ),
    "Vietnamese": (
        ("cp1258",),
        [
            "Tai nghe không dây màu đen",
            "Giày chạy bộ nam cỡ 42",
            "Dầu gội đầu 500 ml",
            "Ốp lưng điện thoại trong suốt",
            "Áo thun nữ tay ngắn",
        ],
    ),
}
PAIRS = [(language, encoding) for language, (encodings, _) in TITLES.items() for encoding in encodings]


def encoded(text: str, encoding: str) -> bytes:
    """Encode text; Vietnamese as Windows does, with its tone marks behind the letters."""
    return "".join(map(_apart, text) if encoding == "cp1258" else text).encode(encoding)


def _apart(sign: str) -> str:
    try:
        sign.encode("cp1258")
    except UnicodeEncodeError:
        parts = unicodedata.normalize("NFD", sign)
        tones = "".join(mark for mark in parts if mark in "\u0300\u0301\u0303\u0309\u0323")
        return unicodedata.normalize("NFC", "".join(mark for mark in parts if mark not in tones)) + tones
    return sign
