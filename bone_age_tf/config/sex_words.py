"""What people write for the sex: the same words in tables, on the command line, and over HTTP.

Words stand without case, accents and a final point; German umlauts also as two letters. Single letters are
words, too, but some of them depend on the language: `data/sex_column.py` reads a column as a whole.
"""

import unicodedata

from bone_age_tf.errors import UsageError

EXPECTED = "F, M or unknown, or a usual word such as female, weiblich or mujer"
"""For messages."""

_FEMALE = """
f female girl woman women fem w weiblich weibl frau mädchen maedchen mujer femenino femenina niña hembra chica
femme féminin féminine fille femmina femminile donna bambina ragazza mulher feminino feminina menina fêmea rapariga
vrouw vrouwelijk meisje kobieta żeńska dziewczynka kvinna kvinne kvinde kvinnlig kvinnelig kvindelig flicka jente pige
nainen tyttö žena dívka kadın kız женский женщина девочка ж 女 女性 여 여성
"""
_MALE = """
m male boy man men masc männlich maennlich männl maennl mann junge knabe bub hombre masculino masculina varón niño macho
chico homme masculin garçon maschio maschile uomo bambino ragazzo homem menino rapaz mannelijk jongen mężczyzna
męska chłopiec manlig mannlig mandlig mand pojke gutt dreng mies poika muž chlapec erkek мужской мужчина мальчик м 男
男性 남 남성
"""
_UNKNOWN = """
unknown u unbekannt desconocido desconhecido inconnu sconosciuto onbekend
"""


def plain(word: str) -> str:
    """A word as it is compared: without case, accents, final point and blanks around it."""
    text = unicodedata.normalize("NFKD", word.strip().casefold()).rstrip(".")
    kept = "".join(letter for letter in text if not unicodedata.combining(letter))
    return kept.translate(str.maketrans("łıø", "lio"))


def _words(label: str, text: str) -> dict[str, str]:
    return {plain(word): label for word in text.split()}


_MEANINGS = _words("F", _FEMALE) | _words("M", _MALE) | _words("unknown", _UNKNOWN)


def sex_of_word(word: str) -> str | None:
    """`F`, `M` or `unknown` for a word that stands alone; None where it is not known.

    `M` is male here, as in the SavedModel; H and V have no meaning without a column around them.
    """
    return _MEANINGS.get(plain(word))


def require_sex_word(word: str) -> str:
    """`F`, `M` or `unknown`. Raises `UsageError` for a word that is not known."""
    label = sex_of_word(word)
    if label is None:
        raise UsageError(f"--sex must be {EXPECTED}. Received: {word!r}.")
    return label


def parse_sex_map(text: str) -> dict[str, str]:
    """`w=F,m=M` as a mapping of words to F, M and unknown. Raises `UsageError`."""
    pairs = [part.rpartition("=") for part in text.split(",") if part.strip()]
    found = {word.strip(): sex_of_word(meaning) for word, _, meaning in pairs}
    wrong = [word for word, meaning in found.items() if not word or meaning is None]
    if wrong or not found:
        raise UsageError(
            "--sex-map: expected WORD=F, WORD=M or WORD=unknown, several with commas between, as in "
            f"0=F,1=M. Received: {text!r}."
        )
    return {word: str(meaning) for word, meaning in found.items()}
