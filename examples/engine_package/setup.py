from setuptools import setup

setup(
    name="k2so_tts_morse",
    version="0.1.0",
    description="An engine for k2so_tts that speaks in Morse code",
    license="Apache-2.0",
    python_requires=">=3.10",
    py_modules=["k2so_tts_morse"],
    install_requires=["numpy"],
    entry_points={"k2so_tts.engines": ["morse = k2so_tts_morse:MorseEngine"]},
)
