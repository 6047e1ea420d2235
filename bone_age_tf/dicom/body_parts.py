"""What hospitals write as the body part of a radiograph of a hand, and of others.

Body Part Examined has defined terms (PS3.16, Annex L), and is often typed by hand, in any language,
with the side and the view in it: `HAND`, `LT HAND`, `HAND_PA`, `RHAND`, `MAIN G`.
"""

import re
import unicodedata
from collections.abc import Mapping

_PARTS_OF_HANDS = (
    *("HAND", "WRIST", "FINGER", "THUMB", "CARPUS", "CARPAL", "PHALANX", "BONEAGE"),
    *("VINGER", "DAUMEN", "POIGNET", "MUNECA", "KNOCHENALTER"),
    *("手", "腕", "指", "骨龄", "骨齡", "骨年齢", "손", "КИСТ", "РУК"),
)
"""Also as a part of a word: RHAND, HANDGELENK, METACARPUS."""
_STUDIES = ("BONE AGE", "SKELETAL AGE")
_WORDS_OF_HANDS = """
MAIN MAINS MANO MANOS MANI MAO MAOS DIG DIGIT DIGITS DOIGT DOIGTS DEDO DEDOS DITO DITA POUCE PULGAR
POLLICE POLSO POLS PUNHO REKA DLON NADGARSTEK RUKA KEZ KASI RANNE HND UEXT UPEXM EXM EXT EXTR EXTREM
EXTREMITY EXTREMITIES EXTREMITAT EXTREMITE EXTREMIDAD LIMB UPPERLIMB UPPEREXTREMITY FOREARM UNTERARM
AVANTBRAS ANTEBRAZO AVAMBRACCIO RADIUS ULNA ARM OSSEUX OSEA OSSEA
"""
_SILENT = """
L R LT RT LI RE LEFT RIGHT LINKS RECHTS GAUCHE DROITE IZQUIERDA DERECHA SINISTRA DESTRA BOTH BILATERAL
AP PA LAT OBL V VIEW VIEWS XR CR DX XRAY NONE NA N A UNK UNKNOWN UNSPECIFIED OTHER
"""
"""The side, the view, or nothing: a text of these alone names no part."""
_OTHERS: Mapping[str, str] = {
    "chest": "CHEST THORAX TORAX TORACE LUNG LUNGS LUNGE THORACIC RIB RIBS STERNUM HEART",
    "abdomen": "ABDOMEN ABDOMINAL ABDOMENPELVIS BAUCH LIVER KIDNEY BLADDER KUB STOMACH COLON",
    "pelvis": "PELVIS BECKEN BASSIN PELVI BACINO HIP HIPS HUFTE HANCHE CADERA ANCA",
    "knee": "KNEE KNEES KNIE GENOU GENOUX RODILLA GINOCCHIO JOELHO PATELLA",
    "foot": "FOOT FEET FUSS FUSSE PIED PIEDS PIE PIES PIEDE PIEDI VOET TOE TOES ZEH ZEHE ZEHEN HEEL CALCANEUS",
    "ankle": "ANKLE ANKLES SPRUNGGELENK OSG CHEVILLE TOBILLO CAVIGLIA ENKEL",
    "leg": "LEG LEGS LOW LWR LOWER LOWERLIMB LOWERLEG LEXT TIBIA FIBULA FEMUR THIGH UNTERSCHENKEL OBERSCHENKEL JAMBE PIERNA GAMBA",
    "shoulder": "SHOULDER SHOULDERS SCHULTER EPAULE HOMBRO SPALLA CLAVICLE CLAVICULA SCAPULA",
    "elbow": "ELBOW ELBOWS ELLENBOGEN COUDE CODO GOMITO HUMERUS UPPERARM OBERARM",
    "skull": "SKULL HEAD BRAIN SCHADEL SCHAEDEL KOPF CRANE CRANIUM CRANEO CRANIO TETE FACE ORBIT SINUS SINUSES NOSE",
    "jaw": "JAW JAWS MANDIBLE MAXILLA TEETH TOOTH DENTAL KIEFER",
    "neck": "NECK HALS COU CUELLO",
    "spine": "SPINE CSPINE TSPINE LSPINE SSPINE WIRBELSAULE WIRBELSAEULE RACHIS COLUMNA COLONNA CERVICAL LUMBAR SACRUM COCCYX BWS HWS LWS",
    "breast": "BREAST MAMMA SEIN MAMA",
    "whole body": "WHOLEBODY BODY",
}
_HAND_WORDS, _SILENT_WORDS = (frozenset(text.split()) for text in (_WORDS_OF_HANDS, _SILENT))
_TERM_OF = {word: term for term, words in _OTHERS.items() for word in words.split()}


def other_body_part(text: str) -> str:
    """The English term of another body part than the hand, in small letters; empty: none is named."""
    words = _words(text)
    if _has_part_of_hand(words):
        return ""
    return next((_TERM_OF[word] for word in words if word in _TERM_OF), "")


def is_hand(text: str) -> bool:
    """Whether it is the hand, a part of it, a larger part that has it, or is not told."""
    words = _words(text)
    if _has_part_of_hand(words) or set(words) <= _SILENT_WORDS:
        return True
    return not (_HAND_WORDS.isdisjoint(words) or other_body_part(text))


def _has_part_of_hand(words: list[str]) -> bool:
    if any(study in " ".join(words) for study in _STUDIES):
        return True
    return any(_plain(part) in word for part in _PARTS_OF_HANDS for word in words)


def _words(text: str) -> list[str]:
    """Split at all but letters."""
    return re.findall(r"[^\W\d_]+", _plain(text))


def _plain(text: str) -> str:
    """Capitals without accents."""
    letters = unicodedata.normalize("NFKD", text.upper().replace("Ł", "L"))
    return "".join(letter for letter in letters if not unicodedata.combining(letter))
