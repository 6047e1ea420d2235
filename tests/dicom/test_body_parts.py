import pytest

from bone_age_tf.dicom.body_parts import is_hand, other_body_part

HANDS = (
    """
HAND|Hand|HANDS|LHAND|RHAND|HAND_LT|LT HAND|LEFT HAND|HAND PA|HAND AP/LAT|HAND 2V|BOTH HANDS|HAND-L|Hand, left
WRIST|LT WRIST|WRISTS|HAND AND WRIST|HANDGELENK|Handwurzel|Hand li.|FINGER|FINGERS|THUMB|DIGIT|DIG|METACARPUS|CARPALS
MAIN|MAIN G|MAIN GAUCHE|POIGNET|DOIGT|MANO|MANO IZQ|MANO SX|MUÑECA|MÃO|Mão esquerda|POLSO|HÅND|KÉZ|DŁOŃ|RĘKA|RUKA|VINGER|手|左手|手部正位
EXTREMITY|EXTREMITIES|UPPER EXTREMITY|UP_EXM|UEXT|UPPER LIMB|UPPERLIMB|EXTREMIDAD SUPERIOR|FOREARM|ARM|RADIUS ULNA
BONE AGE|BONEAGE|BONE_AGE|XR BONE AGE LEFT|KNOCHENALTER|AGE OSSEUX|EDAD OSEA|ETA OSSEA|HAND FOOT
SKELETAL AGE|HND|LT HND|Handskelett li. d.p.|MÃO E PUNHO E|左手腕|왼손|骨齡
""".replace("\n", "|")
    .strip("|")
    .split("|")
)
OTHERS = {
    "CHEST": "chest",
    "THORAX PA": "chest",
    "Tórax": "chest",
    "FOOT": "foot",
    "FOOT_RT": "foot",
    "Füße": "foot",
    "PIED G": "foot",
    "LOWER EXTREMITY": "leg",
    "LOW EXT": "leg",
    "LSPINE": "spine",
    "C-SPINE": "spine",
    "SKULL": "skull",
    "HÜFTE": "pelvis",
    "NOSE AP": "skull",
    "KNEE WITH AND WITHOUT LOAD": "knee",
    "KNEE": "knee",
    "ELBOW": "elbow",
    "SHOULDER LT": "shoulder",
    "WHOLEBODY": "whole body",
    "MAIN PULMONARY CHEST": "chest",
    "CHESTABDPELVIS": "chest",
    "NECKCHEST": "neck",
    "HEADNECK": "skull",
    "TLSPINE": "spine",
    "EYE": "skull",
    "SIJOINT": "pelvis",
    "PANCREAS": "abdomen",
    "METATARSUS": "foot",
    "Fußwurzel": "foot",
    "PHALANX FOOT": "foot",
    "FINGER TOE": "foot",
    "DIG PEDIS": "foot",
    "LOWEXM": "leg",
    "胸部": "chest",
    "стопа": "foot",
}


@pytest.mark.parametrize("text", [*HANDS, "", "  ", "L", "RT PA", "UNKNOWN", "N/A", "1"])
def test_a_hand_as_hospitals_write_it_is_accepted(text: str) -> None:
    assert other_body_part(text) == ""
    assert is_hand(text)


@pytest.mark.parametrize("text", OTHERS)
def test_another_body_part_is_named(text: str) -> None:
    assert other_body_part(text) == OTHERS[text]
    assert not is_hand(text)


@pytest.mark.parametrize(
    "text", ["SKELETON", "Mustermann^Max", "RIBBON", "PIERRE", "HEADER", "LEFT CANARY"]
)
def test_words_that_are_not_known_are_neither(text: str) -> None:
    assert other_body_part(text) == ""
    assert not is_hand(text)
