"""What hospitals write as the body part of a radiograph of a hand, and of others.

Body Part Examined has defined terms (PS3.16, Annex L), and is often typed by hand, in any language,
with the side and the view in it: `HAND`, `LT HAND`, `HAND_PA`, `RHAND`, `MAIN G`.
"""

import re
import unicodedata
from collections.abc import Mapping

_PARTS_OF_HANDS = (
    *("HAND", "WRIST", "CARPUS", "CARPAL", "BONEAGE", "KNOCHENALTER", "POIGNET", "MUNECA"),
    *("手", "腕", "指", "骨龄", "骨齡", "骨年齢", "손", "КИСТ", "РУК"),
)
"""Also as a part of a word: RHAND, HANDGELENK, METACARPUS."""
_PARTS_OF_HANDS_OR_FEET = ("FINGER", "THUMB", "PHALANX", "VINGER", "DAUMEN")
"""Of a hand, unless another part is named beside them."""
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
    "chest": "CHEST THORAX TORAX TORACE LUNG LUNGS LUNGE THORACIC RIB RIBS STERNUM HEART CXR BRONCHUS TRACHEA MEDIASTINUM ESOPHAGUS CORONARYARTERY THYMUS BRUSTKORB ГРУДЬ 胸 胸部",
    "abdomen": "ABDOMEN ABDOMINAL ABDOMENPELVIS BAUCH LIVER KIDNEY BLADDER KUB STOMACH COLON ADRENAL AORTA DUODENUM GALLBLADDER ILEUM JEJUNUM PANCREAS SPLEEN RECTUM PROSTATE OVARY UTERUS TESTIS SCROTUM PENIS CERVIX",
    "pelvis": "PELVIS BECKEN BASSIN PELVI BACINO HIP HIPS HUFTE HANCHE CADERA ANCA ILIUM SIJOINT BUTTOCK",
    "knee": "KNEE KNEES KNIE GENOU GENOUX RODILLA GINOCCHIO JOELHO PATELLA КОЛЕНО 膝",
    "foot": "FOOT FEET FUSS FUSSE PIED PIEDS PIE PIES PIEDE PIEDI VOET TOE TOES ZEH ZEHE ZEHEN HEEL CALCANEUS TARSUS METATARSUS METATARSAL HALLUX PEDIS MITTELFUSS FUSSWURZEL СТОПА 足",
    "ankle": "ANKLE ANKLES SPRUNGGELENK OSG CHEVILLE TOBILLO CAVIGLIA ENKEL",
    "leg": "LEG LEGS LOW LWR LOWER LOWERLIMB LOWERLEG LEXT TIBIA FIBULA FEMUR THIGH UNTERSCHENKEL OBERSCHENKEL JAMBE PIERNA GAMBA CALF BEIN BEINE LOWEXM LOWEXT TIBIAFIBULA",
    "shoulder": "SHOULDER SHOULDERS SCHULTER EPAULE HOMBRO SPALLA CLAVICLE CLAVICULA SCAPULA ACJOINT SCJOINT AXILLA",
    "elbow": "ELBOW ELBOWS ELLENBOGEN COUDE CODO GOMITO HUMERUS UPPERARM OBERARM",
    "skull": "SKULL HEAD BRAIN SCHADEL SCHAEDEL KOPF CRANE CRANIUM CRANEO CRANIO TETE FACE ORBIT SINUS SINUSES NOSE CEREBELLUM CHEEK CIRCLEOFWILLIS CORNEA EAR EYE EYELID IAC MOUTH PAROTID SCALP SCLERA SUBMANDIBULAR TONGUE ZYGOMA",
    "jaw": "JAW JAWS MANDIBLE MAXILLA TEETH TOOTH DENTAL KIEFER TMJ",
    "neck": "NECK HALS COU CUELLO LARYNX PHARYNX THYROID CAROTID",
    "spine": "SPINE CSPINE TSPINE LSPINE SSPINE WIRBELSAULE WIRBELSAEULE RACHIS COLUMNA COLONNA CERVICAL LUMBAR SACRUM COCCYX BWS HWS LWS BACK",
    "breast": "BREAST MAMMA SEIN MAMA",
    "whole body": "WHOLEBODY BODY BABYGRAM",
}
_STARTS = {"CHEST": "chest", "NECK": "neck", "HEADNECK": "skull"}
_HAND_WORDS, _SILENT_WORDS = (frozenset(text.split()) for text in (_WORDS_OF_HANDS, _SILENT))
_TERM_OF = {word: term for term, words in _OTHERS.items() for word in words.split()}


def other_body_part(text: str) -> str:
    """The English term of another body part than the hand, in small letters; empty: none is named."""
    words = _words(text)
    if _has_part_of_hand(words):
        return ""
    return next(filter(None, map(_term_of, words)), "")


def _term_of(word: str) -> str:
    """Also of two parts in one word, as the standard writes CHESTABDOMEN and TLSPINE."""
    if word in _TERM_OF:
        return _TERM_OF[word]
    starts = (term for start, term in _STARTS.items() if word.startswith(start))
    return "spine" if word.endswith("SPINE") else next(starts, "")


def is_hand(text: str) -> bool:
    """Whether it is the hand, a part of it, a larger part that has it, or is not told."""
    words = _words(text)
    if _has_part_of_hand(words) or set(words) <= _SILENT_WORDS:
        return True
    is_part = any(part in word for part in _PARTS_OF_HANDS_OR_FEET for word in words)
    return (is_part or not _HAND_WORDS.isdisjoint(words)) and not other_body_part(text)


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
